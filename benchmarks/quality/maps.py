"""Maps of a trained network in the size of an image."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.quality.folder import BenchmarkFolder, LabeledImage
from segmix_core.inference.image_cams import image_cams
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.precision import resolve_precision
from segmix_core.settings import RunSettings
from segmix_core.slides.slide import RgbArray

MapsOfPixels = Callable[[RgbArray], npt.NDArray[np.float32]]
"""(B, H, W, 3) uint8 RGB -> (B, C, H, W) maps >= 0."""
MapsOfName = Callable[[str], npt.NDArray[np.float32]]
"""Name of an image of the folder -> (C, H, W) maps >= 0."""


def class_maps(model: CamClassifier, config: RunSettings) -> MapsOfPixels:
    """Return a function that asks the network for its class activation maps."""
    device = next(model.parameters()).device
    precision = resolve_precision(config.machine.precision, device)

    def maps_of(pixels: RgbArray) -> npt.NDArray[np.float32]:
        found = image_cams(
            model,
            pixels,
            scales=config.cams.scales,
            flips=config.cams.flips,
            refine=config.cams.refine,
            precision=precision,
        )
        return found.cams

    return maps_of


def whole_images(
    folder: BenchmarkFolder, maps: MapsOfPixels, *, normalized_stain: bool
) -> MapsOfName:
    """Return a function that asks for the maps of an image of a folder.

    Parameters
    ----------
    folder, maps
        Where images are, and what is asked about their pixels.
    normalized_stain
        It is asked about images in the colors that all images get.
    """
    read = folder.read_normalized_image if normalized_stain else folder.read_image

    def maps_of(name: str) -> npt.NDArray[np.float32]:
        return np.asarray(maps(read(name)[None])[0])

    return maps_of


def of_images(
    maps: MapsOfName,
) -> Callable[[LabeledImage], npt.NDArray[np.float32]]:
    """Return the same function, of images instead of their names."""
    return lambda image: maps(image.name)


def as_batch(pixels: RgbArray, device: torch.device) -> Tensor:
    """Return pixels (B, H, W, 3) uint8 as a batch (B, 3, H, W) in 0..1."""
    images = torch.from_numpy(pixels.copy()).to(device)
    return images.permute(0, 3, 1, 2).float() / 255
