"""Shrinking by area averages, right for fractional factors."""

import numpy as np
import numpy.typing as npt
from scipy import sparse

from segmix_core.slides.slide import RgbArray


def area_resize(
    pixels: RgbArray,
    rows: tuple[float, float],
    cols: tuple[float, float],
    shape: tuple[int, int],
) -> RgbArray:
    """Return the mean colours of ``shape`` equal cells of a part of an image.

    Parameters
    ----------
    pixels
        (H, W, 3), 0..255.
    rows, cols
        Where the part starts and ends, in pixels from the image's edge; fractions
        count: a pixel that a cell covers to a third weighs a third.
    shape
        (h, w) of the result, both >= 1.

    Returns
    -------
    RgbArray
        (h, w, 3). Cells smaller than a pixel take the pixel's colour.

    Examples
    --------
    >>> strip = np.repeat(np.uint8([[[0], [90], [240]]]), 3, axis=2)
    >>> area_resize(strip, (0, 1), (0, 3), (1, 2))[0, :, 0].tolist()
    [30, 190]
    """
    height, width = pixels.shape[:2]
    if rows == (0, shape[0]) and cols == (0, shape[1]):
        return pixels[: shape[0], : shape[1]]
    by_rows = _weights(rows, shape[0], height) @ pixels.reshape(height, -1)
    swapped = by_rows.reshape(shape[0], width, 3).swapaxes(0, 1)
    by_cols = _weights(cols, shape[1], width) @ swapped.reshape(width, -1)
    mean = by_cols.reshape(shape[1], shape[0], 3).swapaxes(0, 1)
    return np.asarray(np.clip(mean + np.float32(0.5), 0, 255), np.uint8)


def _weights(
    span: tuple[float, float], count: int, size: int
) -> "sparse.csr_array[np.float32]":
    """Return (count, size) weights: the share of each pixel in each cell."""
    edges = np.linspace(span[0], span[1], count + 1)
    first = np.clip(np.floor(edges[:-1] + 1e-9), 0, size - 1).astype(np.int64)
    last = np.clip(np.ceil(edges[1:] - 1e-9), first + 1, size).astype(np.int64)
    lengths = last - first
    cell = np.repeat(np.arange(count), lengths)
    starts: npt.NDArray[np.int64] = np.cumsum(lengths) - lengths
    pixel = np.arange(lengths.sum()) - np.repeat(starts - first, lengths)
    overlap = np.minimum(edges[cell + 1], pixel + 1) - np.maximum(edges[cell], pixel)
    overlap = np.maximum(overlap, 1e-12)
    share = overlap / np.repeat(np.add.reduceat(overlap, starts), lengths)
    rows = (share.astype(np.float32), (cell, pixel))
    return sparse.csr_array(rows, shape=(count, size))
