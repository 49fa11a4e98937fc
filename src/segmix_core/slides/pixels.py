"""Convert the pixels of files to 8-bit RGB."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segmix_core.errors import SlideError
from segmix_core.geometry import Box, read_inside
from segmix_core.slides.slide import RgbArray

WHITE = 255
MAX_FLAT_PIXELS = 1_500_000_000
"""Largest image without a pyramid that is read in parts."""
MAX_PART_PIXELS = 300_000_000
"""Most pixels decoded at once, which takes about 7 bytes per pixel."""

GRAY_NOTE = "Grayscale pixels were repeated in the red, green and blue channels."
ALPHA_NOTE = "Transparent pixels were laid on white."
MAX_ALPHA_PIXELS = 1 << 24
"""Most pixels read to check whether any is transparent."""


class NotThisFormatError(Exception):
    """The file is of another format than the reader's; the message says why."""


COPY_AGAIN = "Copy it again from its source."
"""Hint for a damaged file."""


@contextmanager
def reading(path: Path, message: str) -> Iterator[None]:
    """Turn any error of a library on a damaged file into a :class:`SlideError`.

    Parameters
    ----------
    path
        The file.
    message
        What is wrong, without a period; the message of the library follows.

    Raises
    ------
    SlideError
        Instead of any other error except :class:`NotThisFormatError`.
    """
    try:
        yield
    except (SlideError, NotThisFormatError):
        raise
    except MemoryError as error:
        raise SlideError(
            f"{path.name} needs more memory than is available.",
            "Close other programs, or save it as a pyramidal TIFF.",
        ) from error
    except Exception as error:
        # Decoders raise almost any error on damaged files.
        words = " ".join(str(error).split()) or type(error).__name__
        raise SlideError(f"{message} ({words:.200}).", COPY_AGAIN) from error


def too_large(path: Path, shape: tuple[int, int], limit: int) -> SlideError:
    """Return the error for an image with too many pixels to decode at once."""
    return SlideError(
        f"{path.name} has {shape[0]:,} x {shape[1]:,} pixels without a pyramid; at "
        f"most {limit // 1_000_000:,} million can be read.",
        "Save it as a pyramidal TIFF (QuPath, or vips tiffsave --pyramid --tile).",
    )


def to_rgb(pixels: npt.NDArray[np.uint8], *, premultiplied: bool = False) -> RgbArray:
    """Return the pixels as RGB on white.

    Parameters
    ----------
    pixels
        (H, W) or (H, W, S), 0..255, with S = 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA.
    premultiplied
        Whether the colors are already multiplied by alpha.

    Returns
    -------
    RgbArray
        (H, W, 3); the argument itself if it is RGB.

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
        raise ValueError(f"There must be 1 to 4 channels, not {samples}")
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
    """Return the pixels of ``box``; white outside the image.

    Parameters as for :func:`segmix_core.geometry.read_inside`.
    """
    return read_inside(box, shape, read, (WHITE, WHITE, WHITE))
