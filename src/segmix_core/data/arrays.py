"""Images, labels and masks that a program hands over, checked and in one form.

Loads no torch: tensors are told by what they can do.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from segmix_core.errors import DataError

_RGB = 3


def as_numpy(values: Any) -> npt.NDArray[Any]:
    """Return an array, or the values of a tensor on any device, as an array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values)


def as_rgb(images: Any) -> npt.NDArray[np.uint8]:
    """Return RGB images (B, H, W, 3) uint8.

    Parameters
    ----------
    images
        Array or tensor, (B, 3, H, W) or (B, H, W, 3): uint8, or float in 0..1, which
        is rounded to 256 steps.

    Raises
    ------
    DataError
        For other shapes, types or values.
    """
    pixels = as_numpy(images)
    if pixels.ndim != 4 or (pixels.shape[1] == _RGB) == (pixels.shape[3] == _RGB):
        raise DataError(
            f"These are not RGB images: their shape is {pixels.shape}.",
            "Pass an array (B, 3, H, W) or (B, H, W, 3) with more than 3 pixels an "
            "edge.",
        )
    if 0 in pixels.shape:
        raise DataError(
            f"These images are empty: their shape is {pixels.shape}.",
            "Pass at least one image.",
        )
    if pixels.shape[1] == _RGB:
        pixels = pixels.transpose(0, 2, 3, 1)
    return _as_bytes(pixels)


def _as_bytes(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if pixels.dtype.kind != "f":
        raise DataError(
            f"Images cannot be {pixels.dtype}.",
            "Pass uint8 in 0..255 or float in 0..1.",
        )
    if not np.isfinite(pixels).all():
        raise DataError(
            "Images have NaN or infinite values.",
            "Pass uint8 in 0..255 or float in 0..1.",
        )
    if not ((pixels >= 0) & (pixels <= 1)).all():
        raise DataError(
            f"Float images must be in 0..1; these reach from {pixels.min():.3g} to "
            f"{pixels.max():.3g}.",
            "Divide images of 0..255 by 255. Leave out the normalization by mean and "
            "deviation: networks do it themselves.",
        )
    return np.ascontiguousarray((pixels * 255).round().astype(np.uint8))


def as_labels(labels: Any, count: int, num_classes: int) -> npt.NDArray[np.int8]:
    """Return image-level labels (B, C) int8.

    Parameters
    ----------
    labels
        Array or tensor (B, C), of any number type: 1 present, 0 absent, -1 unknown.
    count, num_classes
        B and C.

    Raises
    ------
    DataError
        For other shapes or values.
    """
    states = as_numpy(labels)
    if states.shape != (count, num_classes):
        raise DataError(
            f"Labels of {count} images and {num_classes} classes have the shape "
            f"{(count, num_classes)}, not {states.shape}.",
            "Pass one row per image with one column per class.",
        )
    if not np.isin(states, (-1, 0, 1)).all():
        raise DataError(
            "A label is not 1, 0 or -1.",
            "Use 1 for present, 0 for absent and -1 for unknown.",
        )
    return np.asarray(states, np.int8)


def as_mask(mask: Any, shape: tuple[int, int], num_classes: int) -> npt.NDArray[Any]:
    """Return a mask (H, W) uint8.

    Parameters
    ----------
    mask
        Array or tensor (H, W) of whole numbers: 0 background, 1..C, 255 ignore.
    shape, num_classes
        (H, W) of its image, and C.

    Raises
    ------
    DataError
        For another shape or other values.
    """
    values = as_numpy(mask)
    if values.shape != shape:
        raise DataError(
            f"A mask has the shape {values.shape}, but its image {shape}.",
            "Pass masks of the size of their images.",
        )
    unknown = np.setdiff1d(values, [*range(num_classes + 1), 255])
    if unknown.size:
        raise DataError(
            f"A mask has the value {unknown[0]}, which is no class.",
            f"Use 0 for background, 1 to {num_classes} for the classes and 255 for "
            "pixels to ignore.",
        )
    return values.astype(np.uint8)
