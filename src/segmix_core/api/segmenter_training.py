"""A segmenter trained on images and masks, in a line."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from lightning_fabric import Fabric

from segmix_core.api.checkpoints import FOLDER
from segmix_core.api.following import Follower, ProgressCallback
from segmix_core.api.segmenter import TrainedSegmenter
from segmix_core.api.training import checked_names, computing, open_folder
from segmix_core.curriculum.patch_sizes import TILE_STEP
from segmix_core.data.arrays import as_mask, as_numpy, as_rgb
from segmix_core.data.samples import ArraySamples, MaskedSamples
from segmix_core.errors import DataError
from segmix_core.geometry import next_multiple
from segmix_core.settings import MachineSettings, SegmenterSettings
from segmix_core.training.segmenter import SegmenterSpec, fit_segmenter

Pixels = npt.NDArray[np.uint8]


def train_segmenter(
    pairs: Iterable[Any],
    *,
    classes: Sequence[str],
    settings: SegmenterSettings | None = None,
    machine: MachineSettings | None = None,
    checkpoints: Path | str | None = None,
    progress: ProgressCallback | None = None,
    fabric: Fabric | None = None,
) -> TrainedSegmenter:
    """Train a segmenter on images and masks, such as pseudo masks.

    Parameters
    ----------
    pairs
        (image, mask) pairs, or (images, masks) batches, read once and kept in memory as
        bytes. Images: (H, W, 3), with the batch first or the channels before H, RGB,
        uint8 or float in 0..1. Masks: (H, W) or (B, H, W) whole numbers: 0 background,
        1..C, 255 ignore. Without a pixel of background the segmenter has none.
    classes
        Names of the classes 1..C.
    settings
        Network, losses, and how long.
    machine, checkpoints, progress, fabric
        As for :func:`train`.

    Returns
    -------
    TrainedSegmenter

    Raises
    ------
    DataError
        If images and masks do not fit, or no pixel has a class.
    ConfigError
        If settings name no network or device.
    JobError
        If the loss stops being finite, or memory does not suffice.

    Notes
    -----
    Networks are those of segmentation-models-pytorch.

    Examples
    --------
    >>> image = np.zeros((32, 32, 3), np.uint8)
    >>> image[:, 16:] = 255
    >>> mask = np.where(image[..., 0] > 0, 2, 1)
    >>> model = sx.train_segmenter(
    ...     [(image, mask)],
    ...     classes=["gland", "stroma"],
    ...     settings=sx.SegmenterSettings(epochs=2, encoder="tu-mobilenetv3_small_050"),
    ... )
    >>> model.step, model.class_names
    (2, ('gland', 'stroma'))
    """
    names, chosen = checked_names(classes), settings or SegmenterSettings()
    images, masks = _split(pairs, len(names))
    plain = ArraySamples(images, np.ones((len(images), len(names)), np.int8))
    samples = MaskedSamples(plain, masks.__getitem__)
    pixels = samples.count_pixels(len(names), max_tiles=len(masks))
    if not pixels[1:].any():
        raise DataError(
            "The masks have no pixel with a class.",
            f"Use 1 to {len(names)} for the classes; 0 is background, and 255 is "
            "ignored.",
        )
    longest = max(max(image.shape[:2]) for image in images)
    with (
        open_folder(checkpoints) as folder,
        computing(machine, fabric, checkpoints) as used,
    ):
        result, network = fit_segmenter(
            samples,
            pixels,
            SegmenterSpec(next_multiple(longest, TILE_STEP), names, folder / FOLDER),
            chosen,
            fabric=used,
            listener=Follower(progress),
        )
    return TrainedSegmenter(
        network, names, step=result.step, completed=result.reason == "completed"
    )


def _split(pairs: Iterable[Any], classes: int) -> tuple[list[Pixels], list[Pixels]]:
    images: list[Pixels] = []
    masks: list[Pixels] = []
    for image, mask in _singles(pairs):
        images.append(image)
        masks.append(as_mask(mask, image.shape[:2], classes))
    if not images:
        raise DataError("There are no images.", "Pass at least one (image, mask) pair.")
    return images, masks


def _singles(pairs: Iterable[Any]) -> Iterator[tuple[Pixels, npt.NDArray[Any]]]:
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise DataError(
                "An item is not a pair of an image and its mask.",
                "Pass (image, mask) pairs.",
            )
        pixels, values = as_numpy(pair[0]), as_numpy(pair[1])
        if pixels.ndim == 3:
            pixels, values = pixels[None], values[None]
        images = as_rgb(pixels)
        if values.ndim != 3 or len(values) != len(images):
            raise DataError(
                f"{len(images)} images cannot have masks of shape {values.shape}.",
                "Pass one mask (H, W) per image.",
            )
        yield from zip(images, values, strict=True)
