"""From what files hold to 8-bit RGB."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box
from segmix_core.slides.slide import RgbArray

WHITE = 255
MIN_MPP, MAX_MPP = 0.05, 20.0
MAX_FLAT_PIXELS = 1_500_000_000
"""Largest image without smaller levels: 4.5 GB as RGB."""

GRAY_NOTE = "Grayscale pixels were repeated in the red, green and blue channels."
ALPHA_NOTE = "Transparent pixels were laid on white."


class NotThisFormatError(Exception):
    """A reader's answer to a file that is not its own; the message says why."""


def to_rgb(pixels: npt.NDArray[np.uint8], *, premultiplied: bool = False) -> RgbArray:
    """Return the pixels as RGB on white.

    Parameters
    ----------
    pixels
        (H, W) or (H, W, S), 0..255, with S = 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA.
    premultiplied
        Whether the colours are multiplied by alpha already.

    Returns
    -------
    RgbArray
        (H, W, 3); the argument itself where it is RGB.

    Raises
    ------
    ValueError
        For another number of channels.

    Examples
    --------
    >>> to_rgb(np.zeros((1, 1, 2), np.uint8)).tolist()
    [[[255, 255, 255]]]
    """
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    samples = pixels.shape[-1]
    if samples not in (1, 2, 3, 4):
        raise ValueError(f"Expected 1 to 4 channels, got {samples}")
    if samples in (2, 4):
        pixels = _on_white(pixels, premultiplied)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[-1] == 1 else pixels


def _on_white(
    pixels: npt.NDArray[np.uint8], premultiplied: bool
) -> npt.NDArray[np.uint8]:
    colors, alpha = pixels[..., :-1], pixels[..., -1:]
    if alpha.size == 0 or alpha.min() == WHITE:
        return colors
    part = alpha.astype(np.float32) / WHITE
    own = colors.astype(np.float32) * (1 if premultiplied else part)
    mixed = own + WHITE * (1 - part)
    return np.clip(mixed + 0.5, 0, WHITE).astype(np.uint8)


def on_white(
    box: Box, shape: tuple[int, int], read: Callable[[Box], RgbArray]
) -> RgbArray:
    """Return the pixels of ``box``, white where it lies outside of the image.

    Parameters
    ----------
    box
        In the image's own pixels; may reach beyond it.
    shape
        (height, width) of the image.
    read
        Returns the pixels of a box inside of the image.
    """
    inside = box.intersect(Box(0, 0, *shape))
    if inside == box and box.area:
        return read(box)
    canvas = np.full((box.height, box.width, 3), WHITE, np.uint8)
    if inside.area:
        canvas[inside.moved(-box.y, -box.x).slices] = read(inside)
    return canvas


def sane_mpp(values: tuple[float, float]) -> float | None:
    """Return one µm per pixel for (y, x), or None where it is no microscope's.

    Files from screens and cameras state 72 or 300 dots per inch, which are 353 and
    85 µm per pixel; between 0.05 and 20 µm is taken as a pixel size.
    """
    if not all(MIN_MPP <= value <= MAX_MPP for value in values):
        return None
    return float((values[0] * values[1]) ** 0.5)
