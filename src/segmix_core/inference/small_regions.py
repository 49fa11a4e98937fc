"""Regions of a mask that are too small to be believed."""

from math import ceil

import numpy as np
import numpy.typing as npt
from skimage.measure import label as connected_components
from skimage.segmentation import clear_border

from segmix_core.project.records import BACKGROUND, IGNORE_INDEX

MaskArray = npt.NDArray[np.uint8]


def area_in_pixels(um2: float | None, px: int, mpp: float | None) -> int:
    """Return the smallest whole number of pixels that is not below an area.

    Parameters
    ----------
    um2
        The area in square micrometers; None: ``px`` is meant.
    px
        What is meant where there is no area or no pixel size.
    mpp
        µm per pixel of the mask's grid, > 0; None if unknown.

    Examples
    --------
    >>> area_in_pixels(25.0, 64, 0.5), area_in_pixels(25.0, 64, None)
    (100, 64)
    """
    if um2 is None or mpp is None:
        return px
    # Rounding first: 4.9 µm² at 0.7 µm are 10 pixels, not the 11 of 10.000000000000002.
    return ceil(round(um2 / mpp**2, 6))


def ignore_small_objects(mask: MaskArray, min_px: int) -> MaskArray:
    """Return the mask with connected regions (8 neighbors) below ``min_px`` as 255."""
    if min_px <= 1:
        return mask
    # +1 because label() takes 0 for the color between the objects.
    regions = connected_components(
        mask.astype(np.int32) + 1, background=IGNORE_INDEX + 1, connectivity=2
    )
    is_small = np.bincount(regions.ravel()) < min_px
    return np.where(is_small[regions], np.uint8(IGNORE_INDEX), mask)


def fill_small_holes(mask: MaskArray, min_px: int) -> MaskArray:
    """Return the mask with holes of fewer than ``min_px`` pixels filled.

    A hole is a connected region (8 neighbors) of pixels that are not of a class,
    whatever they are, with that class alone around it. It becomes that class.

    Parameters
    ----------
    mask
        (H, W): 0 background, 1..C classes, 255 ignored.
    min_px
        Holes from this size on stay; 0 and 1 fill nothing.

    Notes
    -----
    A region at the border of the mask is no hole: what is beyond is not known. Nor is
    a gap in the background, which is an object. Classes are filled in the order of
    their index, so a hole in a hole ends as the outermost class that finds it small.
    """
    if min_px <= 1:
        return mask
    result = mask.copy()
    for value in np.unique(mask):
        if value in (BACKGROUND, IGNORE_INDEX):
            continue
        gaps = clear_border(connected_components(result != value, connectivity=2))
        is_small = np.bincount(gaps.ravel()) < min_px
        is_small[0] = False
        result[is_small[gaps]] = value
    return result
