"""Pixels of tissue from all over a slide."""

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box
from segmix_core.slides.region import read_region
from segmix_core.slides.slide import RgbArray, Slide
from segmix_core.slides.tissue import tissue_fraction

_SMALL_PX = 1 << 20
"""Images of at most so many pixels are read as a whole."""
_PLACE_PX = 128
_PLACES = 48
_TISSUE = 0.5
"""Share of a place that has to be tissue, if there are such places."""


def sample_tissue(slide: Slide, downsample: float) -> RgbArray:
    """Return pixels of a slide, from up to 48 places with tissue.

    Parameters
    ----------
    slide
        Where from.
    downsample
        Level-0 pixels a pixel of the result.

    Returns
    -------
    RgbArray
        (H, W, 3): a small image as a whole, else places of 128 pixels side by side.

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
