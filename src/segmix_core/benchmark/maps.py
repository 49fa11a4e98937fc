"""Maps of a trained network in the size of an image."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from segmix_core.benchmark.folder import BenchmarkFolder, LabelledImage
from segmix_core.config import RunConfig
from segmix_core.inference.cam_maps import cam_maps
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.precision import resolve_precision
from segmix_core.slides.slide import RgbArray
from segmix_core.slides.stain import normalise_stain

MapsOfPixels = Callable[[RgbArray], npt.NDArray[np.float32]]
"""(B, H, W, 3) uint8 RGB -> (B, C, H, W) maps >= 0."""


def class_maps(model: CamClassifier, config: RunConfig) -> MapsOfPixels:
    """Return a function that asks the network for its class activation maps.

    It is for whole images, of which each has its own stain.
    """
    device = next(model.parameters()).device
    precision = resolve_precision(config.machine.precision, device)

    def maps_of(pixels: RgbArray) -> npt.NDArray[np.float32]:
        if model.normalised_stain:
            pixels = np.stack([normalise_stain(image) for image in pixels])
        images = as_batch(pixels, device)
        maps = cam_maps(
            model,
            images,
            scales=config.cams.scales,
            flips=config.cams.flips,
            refine=config.cams.refine,
            precision=precision,
        ).cam
        height, width = images.shape[-2:]
        rows, cols = (cells * model.stride for cells in maps.shape[-2:])
        large = F.interpolate(maps, (rows, cols), mode="bilinear", align_corners=False)
        return np.asarray(large[..., :height, :width].cpu().numpy())

    return maps_of


def whole_images(
    folder: BenchmarkFolder, maps: MapsOfPixels
) -> Callable[[LabelledImage], npt.NDArray[np.float32]]:
    """Return a function that asks for the maps (C, H, W) of an image of a folder."""

    def maps_of(image: LabelledImage) -> npt.NDArray[np.float32]:
        return np.asarray(maps(folder.read_image(image.name)[None])[0])

    return maps_of


def as_batch(pixels: RgbArray, device: torch.device) -> Tensor:
    """Return pixels (B, H, W, 3) uint8 as a batch (B, 3, H, W) in 0..1."""
    images = torch.from_numpy(pixels.copy()).to(device)
    return images.permute(0, 3, 1, 2).float() / 255
