"""Class activation maps of tiles, averaged over scales and views."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from segmix_core.inference.views import asking, views_of
from segmix_core.models.cam_classifier import CamClassifier


@dataclass(frozen=True, slots=True)
class CamResult:
    """What the classifier sees in a batch of tiles.

    Attributes
    ----------
    cam
        (B, C, h, w) float32 >= 0, not normalised; h = ceil(H / stride).
    probabilities
        (B, C) float32 in 0..1.
    """

    cam: Tensor
    probabilities: Tensor


def cam_maps(
    model: CamClassifier,
    images: Tensor,
    *,
    scales: Sequence[float] = (1.0,),
    flips: bool = False,
    refine: float = 0.0,
) -> CamResult:
    """Return maps and probabilities, averaged over scales and views.

    Parameters
    ----------
    model
        On the device of ``images``; its mode (training or not) is restored.
    images
        (B, 3, H, W), RGB in [0, 1]; H and W at least one stride of the model.
    scales
        Sizes at which the tiles are shown, relative to the given one; > 0.
    flips
        Show all eight symmetries of the square instead of the plain tile.
    refine
        0..1: share of the map refined by the pixel correlation module (SEAM, sec. 3.3)
        in ``cam``, if the model has one; the rest is the raw map. Refining averages
        over similar pixels, so both are on the same scale.

    Returns
    -------
    CamResult
        On the device of ``images``.

    Raises
    ------
    ValueError
        If there are no scales or one is not positive, if ``refine`` is not in 0..1, or
        if the images are smaller than the model's stride.
    """
    _check(images, scales, refine, model.size_multiple)
    images = _pad_to_multiple(images, model.size_multiple)
    grid = (images.shape[-2] // model.stride, images.shape[-1] // model.stride)
    cams, probabilities = [], []
    views = views_of(flips)
    with asking(model):
        for scale in scales:
            scaled = _rescale(images, scale, model.size_multiple)
            for view in views:
                cam, probability = _ask(model, view.apply(scaled), refine)
                cams.append(_resize(view.undo(cam), grid))
                probabilities.append(probability)
        return CamResult(_mean(cams), _mean(probabilities))


def _ask(model: CamClassifier, images: Tensor, refine: float) -> tuple[Tensor, Tensor]:
    output = model(images)
    cam = F.relu(output.cam.float())
    if refine > 0 and model.pcm is not None:
        # The module is linear in its seed: unlike in training, classes need not compete
        # for a pixel here, and absent ones can still be dropped afterwards.
        refined = model.refine(cam, images, output)
        cam = (1 - refine) * cam + refine * refined
    return cam, torch.sigmoid(output.logits.float())


def _pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    # The model would do so itself, but for turned views on the wrong side.
    bottom, right = -images.shape[-2] % multiple, -images.shape[-1] % multiple
    if not bottom and not right:
        return images
    return F.pad(images, (0, right, 0, bottom), mode="reflect")


def _rescale(images: Tensor, scale: float, multiple: int) -> Tensor:
    height, width = (
        max(multiple, round(scale * edge / multiple) * multiple)
        for edge in images.shape[-2:]
    )
    return _resize(images, (height, width))


def _resize(maps: Tensor, shape: tuple[int, int]) -> Tensor:
    if maps.shape[-2:] == shape:
        return maps
    return F.interpolate(
        maps, shape, mode="bilinear", align_corners=False, antialias=True
    )


def _mean(tensors: list[Tensor]) -> Tensor:
    return torch.stack(tensors).mean(dim=0)


def _check(images: Tensor, scales: Sequence[float], refine: float, least: int) -> None:
    if not scales or min(scales) <= 0:
        raise ValueError(f"Expected scales > 0, got {tuple(scales)}")
    if not 0 <= refine <= 1:
        raise ValueError(f"Expected refine in 0..1, got {refine}")
    if min(images.shape[-2:]) < least:
        raise ValueError(
            f"Expected images of at least {least} pixels, "
            f"got {tuple(images.shape[-2:])}"
        )
