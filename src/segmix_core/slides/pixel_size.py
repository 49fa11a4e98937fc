"""Check the pixel size that a file states."""

from dataclasses import dataclass
from math import sqrt

from segmix_core.geometry import MAX_MPP, MIN_MPP

_SAME = 1.02
"""Sizes down and across that differ by a smaller factor count as equal."""


@dataclass(frozen=True, slots=True)
class PixelSize:
    """The size of a pixel, or why it is unknown.

    Attributes
    ----------
    yx
        µm per pixel, down and across; None if unknown.
    notes
        Notes for the user on what is unusual or invalid about it.
    """

    yx: tuple[float, float] | None
    notes: tuple[str, ...] = ()


UNSTATED = PixelSize(None)
"""The file states no size."""


def check_pixel_size(y: float, x: float) -> PixelSize:
    """Check a stated size in µm: it may be square, not square, or implausible.

    Between 0.05 and 20 µm is a microscope's pixel. Files from screens and cameras
    state 72 or 300 dots per inch, which are 353 and 85 µm.

    Examples
    --------
    >>> check_pixel_size(0.25, 0.25).yx, check_pixel_size(0.5, 0.25).yx
    ((0.25, 0.25), (0.5, 0.25))
    >>> check_pixel_size(352.8, 352.8).yx is None
    True
    """
    # Comparisons with NaN are false, so NaN is unknown as well.
    if not all(MIN_MPP <= value <= MAX_MPP for value in (y, x)):
        note = (
            f"The file gives a pixel size of {_shown(y)} x {_shown(x)} µm, which is "
            "not plausible, so the pixel size is unknown."
        )
        return PixelSize(None, (note,))
    if y == x:
        return PixelSize((y, x))
    if max(y, x) < _SAME * min(y, x):
        mean = sqrt(y * x)
        return PixelSize((mean, mean))
    note = f"Its pixels are not square: {y:.4g} µm high and {x:.4g} µm wide."
    return PixelSize((y, x), (note,))


def broken_pixel_size(what: str) -> PixelSize:
    """Return the unknown size of a file whose ``what`` is invalid."""
    return PixelSize(None, (f"{what}, so its pixel size is unknown.",))


def _shown(value: float) -> str:
    return f"{value:,.0f}" if 100 <= abs(value) < 1e9 else f"{value:.3g}"
