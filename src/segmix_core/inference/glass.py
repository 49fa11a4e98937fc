"""Glass: the part of a slide that has no tissue."""

import numpy as np
import numpy.typing as npt
from skimage.measure import label as connected_components


def glass_mask(
    rgb: npt.NDArray[np.uint8],
    *,
    brightness: int = 200,
    spread: int = 20,
    min_px: int = 50,
) -> npt.NDArray[np.bool_]:
    """Return where a tile (H, W, 3) shows glass: bright, unsaturated, not too small.

    Parameters
    ----------
    rgb
        (H, W, 3) in 0..255.
    brightness
        Mean of the three channels that glass exceeds, 0..255.
    spread
        Largest minus smallest channel that glass stays below, 0..255. Pale eosin is as
        bright as glass; only its colour tells it apart.
    min_px
        Smaller connected spots (8 neighbours) are highlights in tissue.

    Returns
    -------
    ndarray of bool
        (H, W).
    """
    channels = rgb.astype(np.int16)
    darkest, lightest = channels.min(axis=2), channels.max(axis=2)
    is_glass: npt.NDArray[np.bool_]
    is_glass = (channels.sum(axis=2) > 3 * brightness) & (lightest - darkest < spread)
    if min_px <= 1:
        return is_glass
    regions = connected_components(is_glass, connectivity=2)
    is_large = np.bincount(regions.ravel()) >= min_px
    is_large[0] = False
    return np.asarray(is_large[regions], np.bool_)
