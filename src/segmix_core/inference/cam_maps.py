"""Class activation maps of tiles, averaged over scales and views."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType

import torch
from torch import Tensor
from torch.nn import functional as F

from segmix_core.data.symmetries import symmetries_of, turn, turn_back
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.precision import Precision, inference_mode


@dataclass(frozen=True, slots=True)
class CamResult:
    """What the classifier sees in a batch of tiles.

    Attributes
    ----------
    cam
        (B, C, h, w) float32 >= 0, not normalized; h = ceil(H / stride).
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
    margin: int = 0,
    precision: Precision = "float32",
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
    margin
        Pixels around each tile that the images show, a multiple of the model's
        ``size_multiple``: the network sees them, maps and probabilities are of the tile
        alone.
    precision
        Numbers that the network computes in; the result is float32 either way.

    Returns
    -------
    CamResult
        On the device of ``images``.

    Raises
    ------
    ValueError
        If there are no scales or one is not positive, if ``refine`` is not in 0..1, if
        the images are smaller than the model's stride, or if the margin is no multiple
        or leaves no tile.
    """
    _check(images, scales, refine, model.size_multiple)
    part = _tile_cells(images, margin, model)
    images = _pad_to_multiple(images, model.size_multiple)
    grid = (images.shape[-2] // model.stride, images.shape[-1] // model.stride)
    cams, probabilities = [], []
    views = symmetries_of(flips)
    with inference_mode(model, precision):
        for scale in scales:
            scaled = _rescale(images, scale, model.size_multiple)
            for view in views:
                raw, cam, logits = _ask(model, turn(scaled, view), refine)
                cams.append(_resize(turn_back(cam, view), grid)[part])
                if margin > 0:
                    logits = model.pool(_resize(turn_back(raw, view), grid)[part])
                probabilities.append(torch.sigmoid(logits))
        return CamResult(_mean(cams), _mean(probabilities))


def _ask(
    model: CamClassifier, images: Tensor, refine: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return raw maps, what is shown of them, and logits."""
    output = model(images)
    raw = output.cam.float()
    cam = model.show(raw)
    if refine > 0 and model.pcm is not None:
        # The module is linear in its seed: unlike in training, classes need not compete
        # for a pixel here, and absent ones can still be dropped afterwards.
        refined = model.refine(cam, images, output)
        cam = (1 - refine) * cam + refine * refined
    return raw, cam, output.logits.float()


def _tile_cells(
    images: Tensor, margin: int, model: CamClassifier
) -> tuple[EllipsisType, slice, slice]:
    """Return where in a map the tile is."""
    inner = [edge - 2 * margin for edge in images.shape[-2:]]
    if margin % model.size_multiple or min(inner) < 1 or margin < 0:
        raise ValueError(
            f"Expected a margin that is a multiple of {model.size_multiple} and less "
            f"than half of {tuple(images.shape[-2:])}, got {margin}"
        )
    first = margin // model.stride
    if margin == 0:
        return ..., slice(None), slice(None)
    rows, cols = (slice(first, first - (-edge // model.stride)) for edge in inner)
    return ..., rows, cols


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
