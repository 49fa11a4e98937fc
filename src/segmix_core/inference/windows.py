"""Overlapping windows over an image, and how they fade into each other."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box


def window_starts(length: int, window_px: int, overlap_px: int) -> list[int]:
    """Return where windows begin along an edge, evenly spread and all inside it.

    Parameters
    ----------
    length
        Pixels of the edge, >= 1.
    window_px
        Pixels of a window; an edge that is not longer has one window.
    overlap_px
        Least overlap of neighbors, less than ``window_px``.

    Examples
    --------
    >>> window_starts(100, 40, 10)
    [0, 30, 60]
    >>> window_starts(101, 40, 10)
    [0, 20, 40, 61]
    """
    if length <= window_px:
        return [0]
    count = -(-(length - overlap_px) // (window_px - overlap_px))
    return [index * (length - window_px) // (count - 1) for index in range(count)]


def window_rows(
    shape: tuple[int, int], window_px: int, overlap_px: int
) -> Iterator[tuple[Box, list[Box]]]:
    """Yield the windows of an image (H, W) row by row, top to bottom.

    With each row of windows comes the band of pixel rows, over the full width, that no
    later window reaches; the bands cover the image once.
    """
    height, width = (min(edge, window_px) for edge in shape)
    tops = window_starts(shape[0], height, overlap_px)
    lefts = window_starts(shape[1], width, overlap_px)
    for y, bottom in zip(tops, [*tops[1:], shape[0]], strict=True):
        band = Box(y, 0, bottom - y, shape[1])
        yield band, [Box(y, x, height, width) for x in lefts]


def count_windows(shape: tuple[int, int], window_px: int, overlap_px: int) -> int:
    """Return how many windows an image (H, W) has, for a progress bar."""
    down, across = (window_starts(edge, window_px, overlap_px) for edge in shape)
    return len(down) * len(across)


def fading_weights(shape: tuple[int, int], overlap_px: int) -> npt.NDArray[np.float32]:
    """Return the weight of each pixel of a window, in (0, 1].

    1 in the middle; towards each edge it falls over ``overlap_px`` pixels as the
    square of a sine, so that two windows which overlap by just that add up to 1.
    """
    rows, cols = (_ramp(edge, overlap_px) for edge in shape)
    return rows[:, None] * cols[None, :]


def _ramp(length: int, overlap_px: int) -> npt.NDArray[np.float32]:
    distance = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    share = np.minimum(distance / max(overlap_px, 0.5), 1.0)
    return (np.sin(share * np.pi / 2) ** 2).astype(np.float32)
