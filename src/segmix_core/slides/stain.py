"""Stain normalization: give all slides the same mean and spread of colors.

Fixation, section thickness, dyes and scanner affect the colors of a whole slide. If
labels correlate with slides, a network learns the colors instead of the tissue. As in
Reinhard et al., Color Transfer between Images (IEEE CG&A 21(5), 2001), the mean and
standard deviation of pixels other than glass are matched; but in RGB, which was as good
as CIELAB for images with one label, better for tiles, and only needs a table of 256
values.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmix_core.slides.slide import RgbArray

_GLASS = 215
"""A pixel is glass unless its darkest channel is darker than this."""
_LOOKED_AT_PX = 1 << 14
"""Enough pixels of an image to measure its colors."""
_LEAST_DEVIATION = 8.0
"""Smallest standard deviation: an image of one color contains only noise."""

Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Stain:
    """Colors of tissue: mean and standard deviation of red, green, blue in 0..255."""

    mean: Rgb
    deviation: Rgb


REFERENCE = Stain((140.0, 95.0, 170.0), (55.0, 55.0, 40.0))
"""The stain all slides are normalized to: average hematoxylin and eosin."""


@dataclass(frozen=True, slots=True)
class TissueColors:
    """Tissue pixels of an image.

    Attributes
    ----------
    pixels
        (n, 3) uint8, a sample of them.
    count
        Their number in the image.
    """

    pixels: npt.NDArray[np.uint8]
    count: int


def find_tissue_colors(image: RgbArray) -> TissueColors:
    """Return the colors of tissue: of all pixels that are not glass.

    Parameters
    ----------
    image
        (H, W, 3). Of large images every n-th row and column is used.
    """
    step = max(1, round((image.shape[0] * image.shape[1] / _LOOKED_AT_PX) ** 0.5))
    seen = image[::step, ::step].reshape(-1, 3)
    pixels = seen[seen.min(axis=1) < _GLASS]
    return TissueColors(pixels, step**2 * len(pixels))


def measure_stain(images: Sequence[TissueColors]) -> Stain:
    """Return the common stain of several images.

    Raises
    ------
    ValueError
        If there are no tissue pixels.
    """
    pixels = np.concatenate([image.pixels for image in images]).astype(np.float64)
    if len(pixels) == 0:
        raise ValueError("There are no tissue pixels")
    deviation = np.maximum(pixels.std(axis=0), _LEAST_DEVIATION)
    return Stain(_triple(pixels.mean(axis=0)), _triple(deviation))


class StainNormalizer:
    """Normalizes pixels to the stain :data:`REFERENCE`.

    Parameters
    ----------
    stain
        Stain of the pixels; None: leave them unchanged.
    """

    def __init__(self, stain: Stain | None) -> None:
        self._tables = None if stain is None else _tables(stain)

    def __call__(self, pixels: RgbArray) -> RgbArray:
        """Normalize pixels (H, W, 3), 0..255."""
        if self._tables is None:
            return pixels
        new = np.empty(pixels.shape, np.uint8)
        for channel, table in enumerate(self._tables):
            new[..., channel] = table[pixels[..., channel]]
        return new


def _tables(stain: Stain) -> npt.NDArray[np.uint8]:
    """Return the lookup table (3, 256), one row per channel."""
    mean, deviation = np.array(stain.mean)[:, None], np.array(stain.deviation)[:, None]
    target = np.array(REFERENCE.mean)[:, None], np.array(REFERENCE.deviation)[:, None]
    moved = (np.arange(256) - mean) / deviation * target[1] + target[0]
    return np.asarray(moved.round().clip(0, 255), np.uint8)


def _triple(values: npt.NDArray[np.float64]) -> Rgb:
    red, green, blue = values.tolist()
    return red, green, blue
