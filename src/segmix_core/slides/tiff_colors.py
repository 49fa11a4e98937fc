"""Interpret the samples of TIFF pixels and convert them to RGB."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

from segmix_core.errors import SlideError
from segmix_core.slides.pixels import ALPHA_NOTE, GRAY_NOTE, to_rgb
from segmix_core.slides.slide import RgbArray

_COLOR_SAMPLES = {
    tifffile.PHOTOMETRIC.MINISWHITE: 1,
    tifffile.PHOTOMETRIC.MINISBLACK: 1,
    tifffile.PHOTOMETRIC.PALETTE: 1,
    tifffile.PHOTOMETRIC.RGB: 3,
    tifffile.PHOTOMETRIC.YCBCR: 3,
}
_MOST_EXTRA = {1: 1, 3: 5}
"""Most extra samples beside gray and RGB; with more, it is not a photograph."""
_PREMULTIPLIED, _ALPHA = 1, 2
_UNSPECIFIED = 0
_DEPTH_REMEDY = (
    "Convert it to 8-bit RGB, for example in QuPath: File > Export images > OME TIFF."
)


@dataclass(frozen=True, slots=True)
class Samples:
    """The used samples of a pixel.

    Attributes
    ----------
    used
        Their indices in the pixel: gray or RGB, and alpha where there is one.
    is_premultiplied
        Whether the colors are already multiplied by alpha.
    is_inverted
        Whether 0 is white.
    palette
        (256, 3) colors of the values, or None.
    notes
        Notes on what was changed or ignored.
    """

    used: tuple[int, ...]
    is_premultiplied: bool = False
    is_inverted: bool = False
    palette: npt.NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = ()

    def to_rgb(self, pixels: npt.NDArray[np.uint8]) -> RgbArray:
        """Return (H, W, used samples) as RGB."""
        if self.palette is not None:
            return self.palette[pixels[..., 0]]
        if self.is_inverted:
            pixels = pixels.copy()
            pixels[..., 0] = 255 - pixels[..., 0]
        return to_rgb(pixels, premultiplied=self.is_premultiplied)


def find_samples(path: Path, page: tifffile.TiffPage) -> Samples:
    """Interpret the samples of a page.

    Raises
    ------
    SlideError
        If they cannot be shown as 8-bit RGB.
    """
    if page.dtype is None or page.dtype.name != "uint8" or page.bitspersample != 8:
        kind = "unknown" if page.dtype is None else page.dtype.name
        bits = page.bitspersample
        depth = f"{bits}-bit" if isinstance(bits, int) else "unevenly deep"
        raise SlideError(
            f"{path.name} has {depth} {kind} pixels; 8-bit RGB or grayscale is needed.",
            _DEPTH_REMEDY,
        )
    colors = _COLOR_SAMPLES.get(page.photometric)
    extra = page.samplesperpixel - (colors or 0)
    if colors is None or not 0 <= extra <= _MOST_EXTRA[colors]:
        kind = getattr(page.photometric, "name", str(page.photometric))
        raise SlideError(
            f"{path.name} has {page.samplesperpixel} channel(s) of kind {kind:.20}; "
            "8-bit RGB or grayscale is needed.",
            _DEPTH_REMEDY,
        )
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        return Samples((0,), palette=_palette(path, page), notes=_unused_note(extra))
    return _with_extra(page, colors, extra)


def _with_extra(page: tifffile.TiffPage, colors: int, extra: int) -> Samples:
    kinds = _extra_kinds(page, extra)
    alpha = next(
        (i for i, kind in enumerate(kinds) if kind in (_PREMULTIPLIED, _ALPHA)), None
    )
    used = tuple(range(colors)) + (() if alpha is None else (colors + alpha,))
    notes = _unused_note(colors + extra - len(used))
    if alpha is not None:
        notes = (ALPHA_NOTE, *notes)
    elif colors == 1:
        notes = (GRAY_NOTE, *notes)
    return Samples(
        used,
        is_premultiplied=alpha is not None and kinds[alpha] == _PREMULTIPLIED,
        is_inverted=page.photometric == tifffile.PHOTOMETRIC.MINISWHITE,
        notes=notes,
    )


def _extra_kinds(page: tifffile.TiffPage, extra: int) -> tuple[int, ...]:
    stated = page.extrasamples
    if not isinstance(stated, tuple):
        stated = (stated,)
    if not stated and extra == 1:
        # Without the tag a fourth sample is alpha, as in libtiff and Pillow.
        return (_ALPHA,)
    kinds = tuple(int(kind) for kind in stated[:extra])
    return kinds + (_UNSPECIFIED,) * (extra - len(kinds))


def _unused_note(count: int) -> tuple[str, ...]:
    if count == 0:
        return ()
    what = "One extra channel" if count == 1 else f"{count} extra channels"
    verb = "was" if count == 1 else "were"
    return (f"{what} {verb} ignored.",)


def _palette(path: Path, page: tifffile.TiffPage) -> npt.NDArray[np.uint8]:
    values = np.asarray(page.colormap if page.colormap is not None else ())
    if values.size != 3 * 256:
        raise SlideError(
            f"{path.name} has palette colors, but its color map is missing or "
            "truncated.",
            "Save it as RGB in the program that wrote it.",
        )
    values = values.reshape(3, 256)
    # TIFF 6.0 requires 16 bits, but some programs write 8; same test as in libtiff.
    if values.max() > 255:
        values = values >> 8
    return np.ascontiguousarray(values.T).astype(np.uint8)
