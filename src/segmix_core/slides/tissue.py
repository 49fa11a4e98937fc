"""Telling tissue from glass on a thumbnail."""

from math import ceil

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu

from segmix_core.geometry import Box
from segmix_core.slides.region import read_region
from segmix_core.slides.slide import RgbArray, Slide

_THUMBNAIL_MPP = 8.0
_MAX_EDGE = 4096
"""Longest edge of a thumbnail, in its pixels."""
_EDGE_OF_SMALLEST_TILE = 16
"""Thumbnail pixels along the smallest box, so that its share is no lottery."""

# Chroma is the largest minus the smallest channel, 0..255. Otsu finds the valley on
# slides that have one; the bounds keep it where glass (noise of JPEG, below 8) and
# pale eosin (above 20) lie, on slides that are all glass or all tissue.
_CHROMA_BOUNDS = (10, 24)
_WHITE = 236
"""A pixel whose darkest channel is brighter is glass, whatever its hue."""
_DARK = 175
"""A pixel whose mean is darker is tissue, whatever its hue: grayscale, dense nuclei."""
_BLACK = 24
"""A pixel whose brightest channel is darker is a scanner's black fill, no tissue."""


def tissue_fraction(
    slide: Slide, boxes: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Return the share of each box that is tissue.

    Parameters
    ----------
    slide
        Read once, at about 8 µm per pixel (finer for small boxes).
    boxes
        (n, 4): y, x, height, width in level-0 pixels; what reaches beyond the slide
        counts as glass.

    Returns
    -------
    ndarray
        (n,) float32 in 0..1.

    Raises
    ------
    ValueError
        If a box is empty.
    """
    if len(boxes) == 0:
        return np.zeros(0, np.float32)
    if boxes[:, 2:].min() < 1:
        raise ValueError("Expected boxes with a height and width of at least 1")
    height, width = slide.level_shapes[0]
    downsample = _thumbnail_downsample(slide, int(boxes[:, 2:].min()))
    shape = (max(1, ceil(height / downsample)), max(1, ceil(width / downsample)))
    mask = tissue_mask(read_region(slide, Box(0, 0, height, width), shape))
    scale = np.array([shape[0] / height, shape[1] / width])
    return _fractions(mask, boxes, scale)


def tissue_mask(thumbnail: RgbArray) -> npt.NDArray[np.bool_]:
    """Return where a thumbnail shows tissue.

    Parameters
    ----------
    thumbnail
        (H, W, 3), 0..255, at some 8 µm per pixel.

    Returns
    -------
    ndarray
        (H, W) bool, single pixels smoothed away.
    """
    low = thumbnail.min(axis=2)
    high = thumbnail.max(axis=2)
    chroma = high - low
    threshold = np.clip(threshold_otsu(chroma), *_CHROMA_BOUNDS)
    mean = thumbnail.mean(axis=2, dtype=np.float32)
    stained = (chroma > threshold) & (low <= _WHITE)
    tissue = (stained | (mean < _DARK)) & (high > _BLACK)
    # The majority of 3 x 3 pixels, which is the median of zeros and ones.
    share = ndimage.uniform_filter(tissue.astype(np.float32), 3, mode="nearest")
    return np.asarray(share > 0.5)


def _thumbnail_downsample(slide: Slide, smallest_edge: int) -> float:
    longest = max(slide.level_shapes[0])
    # Without a pixel size: fine enough for the tiles is all that can be asked.
    wanted = _THUMBNAIL_MPP / slide.mpp if slide.mpp else 32.0
    wanted = min(wanted, smallest_edge / _EDGE_OF_SMALLEST_TILE)
    return max(1.0, wanted, longest / _MAX_EDGE)


def _fractions(
    mask: npt.NDArray[np.bool_],
    boxes: npt.NDArray[np.int64],
    scale: npt.NDArray[np.float64],
) -> npt.NDArray[np.float32]:
    height, width = mask.shape
    total = np.zeros((height + 1, width + 1), np.int64)
    total[1:, 1:] = mask.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    first = np.floor(boxes[:, :2] * scale + 0.5).astype(np.int64)
    last = np.floor((boxes[:, :2] + boxes[:, 2:]) * scale + 0.5).astype(np.int64)
    last = np.maximum(last, first + 1)
    area = (last - first).prod(axis=1)
    y0, x0 = np.clip(first, 0, mask.shape).T
    y1, x1 = np.clip(last, 0, mask.shape).T
    inside = total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0]
    return np.asarray(inside / area, np.float32)
