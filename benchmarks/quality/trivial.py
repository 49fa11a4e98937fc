"""Predictors that learn nothing: what any method has to beat.

Each takes an image (H, W, 3) uint8 and returns its foreground (H, W) bool.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from skimage.color import rgb2hsv
from skimage.filters import threshold_otsu

RgbArray = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

DISC_RADIUS = 0.3
"""Radius of the centered disc as a share of the shorter side."""


def everything(image: RgbArray) -> BoolArray:
    """Call every pixel foreground."""
    return np.ones(image.shape[:2], bool)


def nothing(image: RgbArray) -> BoolArray:
    """Call no pixel foreground."""
    return np.zeros(image.shape[:2], bool)


def dark_green(image: RgbArray) -> BoolArray:
    """Call pixels foreground whose green channel is below Otsu's threshold.

    Green is what hematoxylin and eosin absorb most.
    """
    green = image[..., 1]
    return np.asarray(green <= _otsu(green))


def saturated(image: RgbArray) -> BoolArray:
    """Call pixels foreground whose HSV saturation is above Otsu's threshold."""
    saturation = rgb2hsv(image)[..., 1]
    return np.asarray(saturation > _otsu(saturation))


def centered_disc(image: RgbArray) -> BoolArray:
    """Call a disc in the middle foreground, of 0.3 times the shorter side."""
    height, width = image.shape[:2]
    y, x = np.ogrid[:height, :width]
    distance = np.hypot(y - (height - 1) / 2, x - (width - 1) / 2)
    return np.asarray(distance <= DISC_RADIUS * min(height, width))


def _otsu(values: npt.NDArray[np.generic]) -> float:
    # One gray value has no threshold: nothing is darker or more saturated.
    return float(threshold_otsu(values)) if np.ptp(values) else float(values.flat[0])


TRIVIAL_PREDICTORS: dict[str, Callable[[RgbArray], BoolArray]] = {
    "all foreground": everything,
    "all background": nothing,
    "Otsu, dark green": dark_green,
    "Otsu, saturation": saturated,
    "centered disc": centered_disc,
}
