"""Maps of whole images, in their size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from segmix_core.inference.cam_maps import cam_maps
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.memory import PartsThatFit
from segmix_core.models.precision import Precision
from segmix_core.slides.slide import RgbArray


@dataclass(frozen=True, slots=True)
class ImageCams:
    """What a classifier sees in images.

    Attributes
    ----------
    cams
        (B, C, H, W) float32 >= 0, not normalized.
    probabilities
        (B, C) float32 in 0..1.
    """

    cams: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]


def image_cams(
    model: CamClassifier,
    pixels: RgbArray,
    *,
    scales: Sequence[float] = (1.0,),
    flips: bool = True,
    refine: float = 0.25,
    precision: Precision = "float32",
) -> ImageCams:
    """Return the maps of images, enlarged bilinearly to the size of the images.

    Parameters
    ----------
    model
        On any device.
    pixels
        (B, H, W, 3) uint8 RGB.
    scales, flips, refine, precision
        As for :func:`segmix_core.inference.cam_maps.cam_maps`.
    """
    device = next(model.parameters()).device
    height, width = pixels.shape[1:3]

    def ask(part: Tensor) -> tuple[Tensor, Tensor]:
        found = cam_maps(
            model,
            part.to(device).permute(0, 3, 1, 2).float() / 255,
            scales=scales,
            flips=flips,
            refine=refine,
            precision=precision,
        )
        rows, cols = (cells * model.stride for cells in found.cam.shape[-2:])
        large = F.interpolate(
            found.cam, (rows, cols), mode="bilinear", align_corners=False
        )
        return large[..., :height, :width].cpu(), found.probabilities.cpu()

    parts = PartsThatFit().ask(ask, torch.from_numpy(pixels.copy()))
    maps, sure = (torch.cat(found).numpy() for found in zip(*parts, strict=True))
    return ImageCams(maps, sure)
