"""Find the tissue of a slide, and sample pixels of it."""

from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segmix_core.geometry import Box
from segmix_core.slides.glass import (
    BLACK,
    DEFAULT_GLASS,
    GLASS_LEVEL,
    balance,
    chroma_threshold,
    find_glass_color,
    light_falloff,
    stained_share,
)
from segmix_core.slides.region import read_region
from segmix_core.slides.slide import RgbArray, Slide
from segmix_core.tissue_mask import TissueMask

_THUMBNAIL_MPP = 8.0
_MAX_EDGE = 4096
"""Longest edge of a thumbnail, in its pixels."""
_EDGE_OF_SMALLEST_TILE = 16
"""Fewest thumbnail pixels along the smallest box, for a reliable share."""

_WHITE = 0.965
"""A pixel with a larger transmittance in each channel is glass."""
_DARK = 0.72
"""A pixel with a smaller transmittance is tissue, whatever its hue: grayscale images,
dense nuclei."""

_EDGE_OF_TISSUE = 3
"""Pixels."""

_SMALL_PX = 1 << 20
"""Images with at most this many pixels are used as a whole."""
_PLACE_PX = 128
_PLACES = 48
_TISSUE = 0.5
"""Preferred smallest share of tissue in a sampled place."""


@dataclass(frozen=True, slots=True, eq=False)
class FoundTissue(TissueMask):
    """Where the pixels of a slide show tissue.

    Attributes
    ----------
    doubtful
        Share of the slide that looks stained but is not in the mask.
    """

    doubtful: float


def find_tissue(slide: Slide, smallest_edge: int) -> FoundTissue:
    """Find the tissue of a slide.

    Parameters
    ----------
    slide
        Read once, at about 8 µm per pixel (finer for small tiles).
    smallest_edge
        Of the tiles, in level-0 pixels, >= 1.

    Raises
    ------
    SlideError
        If the file is damaged.
    """
    shape = slide.level_shapes[0]
    downsample = _thumbnail_downsample(slide, smallest_edge)
    rows, cols = (max(1, ceil(length / downsample)) for length in shape)
    frame = Box(0, 0, round(rows * downsample), round(cols * downsample))
    thumbnail = read_region(slide, frame, (rows, cols))
    mask = tissue_mask(thumbnail)
    # Colors mix at the edges of tissue.
    left_out = ~ndimage.binary_dilation(mask, iterations=_EDGE_OF_TISSUE)
    return FoundTissue(mask, downsample, stained_share(thumbnail, left_out))


def tissue_fraction(
    slide: Slide, boxes: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Return the share of each box, as :meth:`TissueMask.fractions`.

    Raises
    ------
    ValueError
        If a box is empty.
    """
    if len(boxes) == 0:
        return np.zeros(0, np.float32)
    smallest = int(boxes[:, 2:].min())
    if smallest < 1:
        raise ValueError("Boxes must have a height and width of at least 1")
    return find_tissue(slide, smallest).fractions(boxes)


def sample_tissue(slide: Slide, downsample: float) -> RgbArray:
    """Sample pixels of a slide from up to 48 places with tissue.

    Parameters
    ----------
    slide
        An open slide.
    downsample
        Level-0 pixels per pixel of the result.

    Returns
    -------
    RgbArray
        (H, W, 3): a small image as a whole, or else squares of 128 pixels side by side.

    Raises
    ------
    SlideError
        If the file is damaged there.
    """
    height, width = slide.level_shapes[0]
    shape = (max(1, round(height / downsample)), max(1, round(width / downsample)))
    if shape[0] * shape[1] <= _SMALL_PX:
        return read_region(slide, Box(0, 0, height, width), shape)
    places = _spread(_with_tissue(slide, _grid(height, width, downsample)))
    return np.concatenate(
        [
            read_region(slide, Box(*place), (_PLACE_PX, _PLACE_PX))
            for place in places.tolist()
        ],
        axis=1,
    )


def tissue_mask(thumbnail: RgbArray) -> npt.NDArray[np.bool_]:
    """Find tissue in a thumbnail: pixels colored or dark compared with its glass.

    Parameters
    ----------
    thumbnail
        (H, W, 3), 0..255, at about 8 µm per pixel.

    Returns
    -------
    ndarray
        (H, W) bool, single pixels smoothed away. Ink and folds count as tissue.
    """
    balanced = balance(thumbnail, find_glass_color(thumbnail) or DEFAULT_GLASS)
    low = balanced.min(axis=2)
    chroma = balanced.max(axis=2) - low
    threshold = chroma_threshold(balanced)
    light = light_falloff(balanced, threshold)
    stained = (chroma > threshold * light) & (low <= _WHITE * GLASS_LEVEL * light)
    is_dark = balanced.mean(axis=2, dtype=np.float32) < _DARK * GLASS_LEVEL * light
    tissue = (stained | is_dark) & (thumbnail.max(axis=2) > BLACK)
    # Majority of 3 x 3 pixels: the median of zeros and ones.
    share = ndimage.uniform_filter(tissue.astype(np.float32), 3, mode="nearest")
    return np.asarray(share > 0.5)


def _thumbnail_downsample(slide: Slide, smallest_edge: int) -> float:
    longest = max(slide.level_shapes[0])
    # Without a pixel size, fine enough for the tiles has to do.
    wanted = _THUMBNAIL_MPP / slide.mpp if slide.mpp else 32.0
    wanted = min(wanted, smallest_edge / _EDGE_OF_SMALLEST_TILE)
    return max(1.0, wanted, longest / _MAX_EDGE)


def _grid(height: int, width: int, downsample: float) -> npt.NDArray[np.int64]:
    edge = round(_PLACE_PX * downsample)
    ys = np.arange(0, max(1, height - edge + 1), edge)
    xs = np.arange(0, max(1, width - edge + 1), edge)
    corners = np.stack(np.meshgrid(ys, xs, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.concatenate([corners, np.full_like(corners, edge)], axis=1)


def _with_tissue(slide: Slide, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    share = tissue_fraction(slide, places)
    least = min(_TISSUE, float(share.max()))
    return np.asarray(places[share >= least])


def _spread(places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    count = min(_PLACES, len(places))
    rows = np.linspace(0, len(places) - 1, count).round().astype(np.int64)
    return np.asarray(places[rows])
