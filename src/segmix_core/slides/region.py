"""Read any rectangle at any size; shrink it by area averaging."""

from itertools import pairwise
from math import ceil, floor

import numpy as np
import numpy.typing as npt
from scipy import sparse

from segmix_core.geometry import Box
from segmix_core.slides.slide import RgbArray, Slide

# Scanners round the sizes of levels: 4443 pixels become 2221, a factor of 2.0005.
_LEVEL_TOLERANCE = 1.01
_MAX_READ_PIXELS = 16_000_000
"""Pixels read at once; larger regions are read in bands, to bound memory."""


def read_region(slide: Slide, box_level0: Box, shape: tuple[int, int]) -> RgbArray:
    """Read a rectangle of a slide, shrunk to ``shape`` by area averaging.

    Reads the coarsest level that is at least as fine as requested, so a region at the
    slide's own resolution is unchanged.

    Parameters
    ----------
    slide
        An open slide.
    box_level0
        In level-0 pixels; white outside the slide.
    shape
        (h, w) wanted; a shape larger than the box repeats pixels.

    Returns
    -------
    RgbArray
        (h, w, 3).

    Raises
    ------
    ValueError
        If the box or the shape is empty.
    SlideError
        If the file is damaged there.
    """
    if box_level0.area == 0 or min(shape) < 1:
        raise ValueError(f"There are no pixels in {box_level0} as {shape}")
    step = (box_level0.height / shape[0], box_level0.width / shape[1])
    level = best_level(slide, min(step))
    factors = level_downsample(slide, level)
    rows = _span(box_level0.y, box_level0.height, factors[0], shape[0])
    cols = _span(box_level0.x, box_level0.width, factors[1], shape[1])
    area = (rows[1] - rows[0]) * (cols[1] - cols[0])
    bands = min(shape[0], max(1, ceil(area / _MAX_READ_PIXELS)))
    if bands == 1:
        return _read(slide, level, rows, cols, shape)
    cuts = [shape[0] * band // bands for band in range(bands + 1)]
    per_row = (rows[1] - rows[0]) / shape[0]
    parts = [
        _read(
            slide,
            level,
            (rows[0] + top * per_row, rows[0] + bottom * per_row),
            cols,
            (bottom - top, shape[1]),
        )
        for top, bottom in pairwise(cuts)
    ]
    return np.concatenate(parts)


def level_downsample(slide: Slide, level: int) -> tuple[float, float]:
    """Return level-0 pixels per pixel of ``level``, down and across."""
    (height, width), (rows, cols) = slide.level_shapes[0], slide.level_shapes[level]
    return height / rows, width / cols


def best_level(slide: Slide, downsample: float) -> int:
    """Return the coarsest level with at most ``downsample`` level-0 pixels a pixel."""
    fits = [
        level
        for level in range(len(slide.level_shapes))
        if max(level_downsample(slide, level)) <= downsample * _LEVEL_TOLERANCE
    ]
    return max(fits, key=lambda i: level_downsample(slide, i), default=0)


def area_resize(
    pixels: RgbArray,
    rows: tuple[float, float],
    cols: tuple[float, float],
    shape: tuple[int, int],
) -> RgbArray:
    """Return the mean colors of ``shape`` equal cells of a part of an image.

    Parameters
    ----------
    pixels
        (H, W, 3), 0..255.
    rows, cols
        Start and end of the part, in pixels from the image's edge. Fractions count: a
        pixel covered by a third weighs a third.
    shape
        (h, w) of the result, both >= 1.

    Returns
    -------
    RgbArray
        (h, w, 3). Cells smaller than a pixel have the pixel's color.

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


def _span(start: int, length: int, factor: float, count: int) -> tuple[float, float]:
    """Return start and end in level pixels, rounded if that is as good."""
    low, high = start / factor, (start + length) / factor
    if abs((high - low) - count) < 0.5:
        # Less than half a pixel off over the whole length: better copy than blur.
        return float(floor(low + 0.5)), float(floor(low + 0.5) + count)
    return low, high


def _read(
    slide: Slide,
    level: int,
    rows: tuple[float, float],
    cols: tuple[float, float],
    shape: tuple[int, int],
) -> RgbArray:
    top, left = floor(rows[0]), floor(cols[0])
    box = Box(top, left, ceil(rows[1]) - top, ceil(cols[1]) - left)
    pixels = slide.read_level(level, box)
    return area_resize(
        pixels,
        (rows[0] - top, rows[1] - top),
        (cols[0] - left, cols[1] - left),
        shape,
    )


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
