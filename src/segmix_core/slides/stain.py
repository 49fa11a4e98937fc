"""Stain normalisation: the colours of all slides get the same mean and spread.

Fixation, thickness of the section, dyes and scanner colour a whole slide. Labels often
go with slides, and a network then learns the colour instead of the tissue. As in
Reinhard et al., Color Transfer between Images (IEEE CG&A 21(5), 2001), mean and
standard deviation are moved, of what is not glass; but in RGB, which was as good as
CIELAB for images with one label, better for tiles, and is a table of 256 values.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmix_core.slides.slide import RgbArray

_GLASS = 215
"""A pixel whose darkest channel is not darker shows glass."""
_LOOKED_AT_PX = 1 << 14
"""Pixels of an image that are enough to know its colours."""
_LEAST_DEVIATION = 8.0
"""An image of one colour has only noise to spread."""

Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Stain:
    """Colours of tissue: mean and standard deviation of red, green, blue in 0..255."""

    mean: Rgb
    deviation: Rgb


REFERENCE = Stain((140.0, 95.0, 170.0), (55.0, 55.0, 40.0))
"""What all slides get: haematoxylin and eosin, neither pale nor dark."""


@dataclass(frozen=True, slots=True)
class TissueColors:
    """Pixels of tissue of an image.

    Attributes
    ----------
    pixels
        (n, 3) uint8, some of them.
    count
        How many there are.
    """

    pixels: npt.NDArray[np.uint8]
    count: int


def find_tissue_colors(image: RgbArray) -> TissueColors:
    """Return the colours of what is not glass.

    Parameters
    ----------
    image
        (H, W, 3). Of large images every n-th row and column is looked at.
    """
    step = max(1, round((image.shape[0] * image.shape[1] / _LOOKED_AT_PX) ** 0.5))
    seen = image[::step, ::step].reshape(-1, 3)
    pixels = seen[seen.min(axis=1) < _GLASS]
    return TissueColors(pixels, step**2 * len(pixels))


def measure_stain(images: Sequence[TissueColors]) -> Stain:
    """Return the stain that images have in common.

    Raises
    ------
    ValueError
        If there is no pixel of tissue.
    """
    pixels = np.concatenate([image.pixels for image in images]).astype(np.float64)
    if len(pixels) == 0:
        raise ValueError("Expected pixels of tissue, got none")
    deviation = np.maximum(pixels.std(axis=0), _LEAST_DEVIATION)
    return Stain(_triple(pixels.mean(axis=0)), _triple(deviation))


class StainNormaliser:
    """Gives pixels the colours of :data:`REFERENCE`.

    Parameters
    ----------
    stain
        What they have; None: they stay as they are.
    """

    def __init__(self, stain: Stain | None) -> None:
        self._tables = None if stain is None else _tables(stain)

    def __call__(self, pixels: RgbArray) -> RgbArray:
        """Return pixels (H, W, 3) in their new colours, 0..255."""
        if self._tables is None:
            return pixels
        new = np.empty(pixels.shape, np.uint8)
        for channel, table in enumerate(self._tables):
            new[..., channel] = table[pixels[..., channel]]
        return new


def _tables(stain: Stain) -> npt.NDArray[np.uint8]:
    """Return (3, 256): the new value of each value, a channel a row."""
    mean, deviation = np.array(stain.mean)[:, None], np.array(stain.deviation)[:, None]
    target = np.array(REFERENCE.mean)[:, None], np.array(REFERENCE.deviation)[:, None]
    moved = (np.arange(256) - mean) / deviation * target[1] + target[0]
    return np.asarray(moved.round().clip(0, 255), np.uint8)


def _triple(values: npt.NDArray[np.float64]) -> Rgb:
    red, green, blue = values.tolist()
    return red, green, blue
