"""Find glass, the part without tissue, in a tile or a whole slide.

In a tile at working resolution a fixed rule finds it. On a thumbnail of a slide, the
color, noise and light falloff of the glass are measured first. Tissue only absorbs
light, so glass is the brightest common color that is gray, or that has the tint of a
lamp and no texture. Strong stain, ink and folds do not affect this measurement. An
automatic threshold over all pixels would rise with them, and miss pale tissue beside
ink.
"""

from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segmix_core.slides.slide import RgbArray

_ASKED_PIXELS = 100_000
"""Most pixels of a thumbnail that are used; more would not change the result."""
BLACK = 24
"""A pixel whose brightest channel is darker is a scanner's black fill."""

# Largest minus smallest channel: limits for single pixels (below pale eosin and
# hematoxylin) and for the color of glass. With a stronger tint, glass must have no
# texture.
_MAX_TINT = 14
_MAX_ROUGH_TINT = 5
_MAX_FLAT_TINT = 28
_MAX_YELLOW_TINT = 48
_FLAT_PX = 5
_MAX_FLAT_DEVIATION = 0.8
"""Standard deviation of the brightness, averaged over 5 x 5 pixels, within 5 x 5."""
_LEAST_FLAT_GLASS = 0.25
"""Share of the pixels of tinted glass that have no texture."""
_DARKEST_GLASS = 150
_WINDOW = 4
"""Gray values on each side that belong to one brightness."""
_LEAST_SHARE = 0.005
"""Smallest share of glass in a thumbnail."""
_LEAST_OF_PEAK = 0.2
_MUCH = 0.02
"""A brightness with a smaller share of the commonest one's pixels, and of all, is
highlights."""
_LEAST_GRAY = 0.3
"""Share of the pixels of its brightness that are nearly gray, where glass is: fewer are
the palest pixels of tissue."""
_UNSCANNED_SHARE = 0.02
"""White fill is not glass if at least this share of other pixels is."""

# Noise of the camera, of JPEG and pale eosin: chroma on glass stays below the first,
# and that of tissue is rarely below the second.
_CHROMA_BOUNDS = (9.0, 21.0)
_NOISE_WIDTHS = 2.0
_BRIGHT = 0.8
"""Smallest transmittance of the pixels used to measure the chroma of glass."""
_FALLOFF_BOUNDS = (0.5, 1.2)
_FALLOFF_STEP = 0.12
"""Tolerance of glass around its smooth brightness profile, natural logarithm."""
_FALLOFF_ROUNDS = 12
_FALLOFF_PIXELS = 10_000
_LEAST_FLAT_SHARE = 0.05
_EVENNESS = 0.005
"""Weight of the prior of even light (all pixels together weigh 1); it decides where
no glass is seen."""

Color = tuple[float, float, float]
FloatArray = npt.NDArray[np.float32]

GLASS_LEVEL = 212
"""Value of glass in a balanced thumbnail, with headroom for brighter places."""
DEFAULT_GLASS: Color = (243.0, 243.0, 243.0)
"""Color of glass on common scanners, for thumbnails without glass."""


def glass_mask(
    rgb: npt.NDArray[np.uint8],
    *,
    brightness: int = 200,
    spread: int = 20,
    min_px: int = 50,
) -> npt.NDArray[np.bool_]:
    """Find glass in a tile: bright, unsaturated regions that are not too small.

    Parameters
    ----------
    rgb
        (H, W, 3) in 0..255.
    brightness
        Glass is brighter than this (mean of the channels), 0..255.
    spread
        Glass has a smaller chroma (largest minus smallest channel), 0..255. Pale eosin
        is as bright as glass and differs only in color.
    min_px
        Smaller connected spots (8 neighbors) are highlights in tissue.

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
    regions, _ = ndimage.label(is_glass, np.ones((3, 3)))
    is_large = np.bincount(regions.ravel()) >= min_px
    is_large[0] = False
    return np.asarray(is_large[regions], np.bool_)


def find_glass_color(thumbnail: RgbArray) -> Color | None:
    """Return the color of the glass, 0..255, or None if there is hardly any.

    Parameters
    ----------
    thumbnail
        (H, W, 3). Black and pure white fill of areas that were not scanned is left out.
    """
    seen = _sample(thumbnail).astype(np.int16)
    pixels, is_gray = seen.reshape(-1, 3), (np.ptp(seen, axis=2) <= _MAX_TINT).ravel()
    is_flat = _is_flat(seen)
    is_like_glass = is_gray | (is_flat & _has_tint_of_lamps(seen)).ravel()
    is_used = pixels.max(axis=1) > BLACK
    is_fill = pixels.min(axis=1) == 255
    if (is_like_glass & is_used & ~is_fill).sum() >= _UNSCANNED_SHARE * is_used.sum():
        is_used &= ~is_fill
    brightness = pixels.mean(axis=1)
    every = _mass(brightness[is_used])
    chosen = is_gray & is_used
    top = _brightest(_mass(brightness[chosen]), every)
    tinted = _brightest(_mass(brightness[is_like_glass & is_used]), every)
    if tinted > top + _WINDOW:
        # Gray and darker than tinted glass can only be tissue on it.
        chosen, top = is_like_glass & is_used, tinted
    mass = _mass(brightness[chosen])
    peak = _climb_down(mass, top)
    if peak < _DARKEST_GLASS or mass[peak] < _LEAST_GRAY * every[peak]:
        return None
    near = chosen & (abs(brightness - peak) <= _WINDOW + 2)
    flat = near & is_flat.ravel()
    has_flat = flat.sum() >= _LEAST_FLAT_GLASS * near.sum()
    color = np.median(pixels[flat if has_flat else near], axis=0)
    if not has_flat and np.ptp(color) > _MAX_ROUGH_TINT:
        # The palest tissue of a slide that is nearly covered by it.
        return None
    red, green, blue = color.tolist()
    return red, green, blue


def balance(thumbnail: RgbArray, glass: Color) -> RgbArray:
    """Return (H, W, 3) with glass at ``GLASS_LEVEL`` in every channel."""
    values = np.arange(256)
    balanced = np.empty_like(thumbnail)
    for channel, level in enumerate(glass):
        table = np.minimum(np.rint(values * (GLASS_LEVEL / level)), 255).astype(
            np.uint8
        )
        balanced[..., channel] = table[thumbnail[..., channel]]
    return balanced


def chroma_threshold(balanced: RgbArray) -> float:
    """Return the upper limit of the chroma (largest minus smallest channel) of glass.

    Measured on the glass alone, from the most frequent chroma of bright pixels and its
    spread towards lower values, where there is no tissue. 9..21.
    """
    pixels = _sample(balanced).reshape(-1, 3).astype(np.int16)
    low, high = _CHROMA_BOUNDS
    chroma = pixels.max(axis=1) - pixels.min(axis=1)
    bright = chroma[(chroma <= high) & (pixels.mean(axis=1) > _BRIGHT * GLASS_LEVEL)]
    counts = np.bincount(bright, minlength=int(high) + 1)
    commonest = int(np.convolve(counts, (1, 2, 1), "same").argmax())
    if commonest > low:
        # No peak of glass: there is pale tissue everywhere.
        return low
    below = bright[bright <= commonest] - commonest
    spread = float(np.sqrt((below**2).mean())) if len(below) else 0.0
    return float(np.clip(commonest + 1 + _NOISE_WIDTHS * (spread + 1), low, high))


def light_falloff(balanced: RgbArray, threshold: float) -> FloatArray:
    """Fit the brightness of glass at each place, (H, W); 1 is ``GLASS_LEVEL``.

    Models vignetting and off-center lamps as a parabola through gray, slowly varying
    pixels, from the brightest parts outwards. All 1 if there are too few of them.

    Parameters
    ----------
    balanced
        (H, W, 3), of :func:`balance`.
    threshold
        Chroma that glass stays below, of :func:`chroma_threshold`.
    """
    height, width = balanced.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)
    x = np.linspace(-1, 1, width, dtype=np.float32)
    step = _step(balanced.shape, _FALLOFF_PIXELS)
    seen = balanced[::step, ::step].astype(np.float32)
    # From the local mean color: noise makes single pixels of pale tissue gray.
    around = ndimage.uniform_filter(seen, (_FLAT_PX, _FLAT_PX, 1), mode="nearest")
    gray = (np.ptp(around, axis=2) <= threshold).ravel()
    level = np.log(np.maximum(seen.mean(axis=2).ravel(), 1) / GLASS_LEVEL)
    rows, cols = (a.ravel() for a in np.meshgrid(y[::step], x[::step], indexing="ij"))
    terms = np.stack([np.ones_like(rows), rows, cols, rows**2, cols**2], axis=1)
    course, weights = np.zeros_like(level), np.zeros(5, np.float32)
    for _ in range(_FALLOFF_ROUNDS):
        is_glass = gray & (abs(level - course) < _FALLOFF_STEP)
        if is_glass.mean() < _LEAST_FLAT_SHARE:
            return np.ones((height, width), np.float32)
        weights = _fit(terms[is_glass], level[is_glass], _EVENNESS * len(level))
        course = np.clip(terms @ weights, *np.log(_FALLOFF_BOUNDS))
    base, down, across, down2, across2 = weights.tolist()
    fall = (base + down * y + down2 * y**2)[:, None] + across * x + across2 * x**2
    return np.asarray(np.exp(np.clip(fall, *np.log(_FALLOFF_BOUNDS))), np.float32)


def stained_share(thumbnail: RgbArray, left_out: npt.NDArray[np.bool_]) -> float:
    """Return the share of a thumbnail, 0..1, that was left out but looks stained.

    These are pixels with color and texture; fill of unscanned areas has neither.

    Parameters
    ----------
    thumbnail
        (H, W, 3), 0..255.
    left_out
        (H, W) bool.
    """
    step = _step(thumbnail.shape)
    seen = thumbnail[::step, ::step].astype(np.int16)
    size = (_FLAT_PX, _FLAT_PX, 1)
    around = ndimage.uniform_filter(seen.astype(np.float32), size, mode="nearest")
    is_colored = np.ptp(around, axis=2) > _CHROMA_BOUNDS[0]
    is_fill = (seen.max(axis=2) <= BLACK) | (seen.min(axis=2) == 255)
    is_stained = is_colored & ~is_fill & ~_is_flat(seen)
    return float((is_stained & left_out[::step, ::step]).mean())


def _fit(terms: FloatArray, level: FloatArray, evenness: float) -> FloatArray:
    """Fit ``level``, (n,), as a weighted sum of ``terms``, (n, 5); return the weights.

    All but the first are shrunk to 0 (ridge regression), so that glass on one side does
    not determine the brightness of the other.
    """
    pull = evenness * np.diag([0.0, 1, 1, 1, 1])
    weights = np.linalg.solve(terms.T @ terms + pull, terms.T @ level)
    return np.asarray(weights, np.float32)


def _has_tint_of_lamps(pixels: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    """Return (H, W): pixels with the color of glass under a tinted lamp."""
    red, green, blue = (pixels[..., channel] for channel in range(3))
    # Yellow absorbs blue alone; brown, such as DAB, also much green.
    is_yellow = (blue <= green) & (abs(red - green) * 5 <= (red - blue) * 2)
    # No lamp lacks green alone, as eosin does.
    is_pink = np.minimum(red, blue) - green > _MAX_TINT // 2
    limit = np.where(is_yellow, _MAX_YELLOW_TINT, _MAX_FLAT_TINT) * ~is_pink
    return np.asarray(np.ptp(pixels, axis=2) <= limit)


def _is_flat(pixels: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    """Return (H, W): pixels without texture."""
    smooth = ndimage.uniform_filter(pixels.mean(axis=2), _FLAT_PX)
    mean = ndimage.uniform_filter(smooth, _FLAT_PX)
    square = ndimage.uniform_filter(smooth**2, _FLAT_PX)
    return np.asarray(square - mean**2 < _MAX_FLAT_DEVIATION**2)


def _brightest(mass: npt.NDArray[np.int64], every: npt.NDArray[np.int64]) -> int:
    """Return the brightest value, 0..255, with enough pixels; -1 if there is none.

    ``mass`` counts the pixels that may be glass, ``every`` all pixels.
    """
    total = every.sum() / (2 * _WINDOW + 1)
    least = max(_LEAST_OF_PEAK * mass.max(), _LEAST_SHARE * total, 1)
    is_much = mass >= min(least, max(_MUCH * total, 1))
    found = np.flatnonzero(is_much & (mass >= _LEAST_GRAY * every))
    return int(found[-1]) if len(found) else -1


def _mass(brightness: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return (256,): pixels within ``_WINDOW`` of each gray value."""
    counts = np.bincount(brightness.astype(np.int64), minlength=256)
    window = np.ones(2 * _WINDOW + 1, np.int64)
    return np.asarray(np.convolve(counts, window, "same"))


def _climb_down(mass: npt.NDArray[np.int64], value: int) -> int:
    """Return the peak of ``mass`` found by descending from ``value``.

    0 from a ``value`` of -1.
    """
    rises = np.flatnonzero(np.diff(mass[: value + 1]) > 0)
    return 1 + int(rises[-1]) if len(rises) else 0


def _step(shape: tuple[int, ...], count: int = _ASKED_PIXELS) -> int:
    return max(1, round(sqrt(shape[0] * shape[1] / count)))


def _sample(pixels: RgbArray) -> RgbArray:
    step = _step(pixels.shape)
    return pixels[::step, ::step]
