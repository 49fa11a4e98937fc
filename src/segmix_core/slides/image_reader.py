"""PNG, JPEG, BMP and WebP, through Pillow."""

import threading
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError

from segmix_core.errors import SlideError
from segmix_core.geometry import Box
from segmix_core.slides.pixels import (
    ALPHA_NOTE,
    GRAY_NOTE,
    MAX_FLAT_PIXELS,
    NotThisFormatError,
    on_white,
    to_rgb,
)
from segmix_core.slides.slide import RgbArray

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
# Pillow's mode for the pixels -> the mode that is one of ours.
_OWN_MODES = {"1": "L", "L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "P": "RGBA"}


def open_with_pillow(path: Path) -> "ImageSlide":
    """Open a plain image; its pixels are read when they are first needed.

    Raises
    ------
    NotThisFormatError
        If it is none of PNG, JPEG, BMP or WebP.
    SlideError
        If its pixels are not 8-bit RGB or grayscale, or too many.
    """
    with path.open("rb") as file:
        image = _identify(file)
        _check(path, image, file)
        return ImageSlide(path, (image.height, image.width), _note(image))


class ImageSlide:
    """A plain image with one level, held in memory; safe to read from threads."""

    def __init__(self, path: Path, shape: tuple[int, int], note: str | None) -> None:
        self.path = path
        self.mpp: float | None = None
        self.level_shapes = (shape,)
        self.notes = () if note is None else (note,)
        self._pixels: RgbArray | None = None
        self._lock = threading.Lock()

    def read_level(self, level: int, box: Box) -> RgbArray:
        """Return (H, W, 3) pixels of ``box``; the only level is 0."""
        return on_white(
            box, self.level_shapes[level], lambda b: self._all()[b.slices].copy()
        )

    def _all(self) -> RgbArray:
        with self._lock:
            if self._pixels is None:
                self._pixels = _decode(self.path)
            return self._pixels

    def close(self) -> None:
        """Let go of the pixels."""
        with self._lock:
            self._pixels = None


def _identify(file: IO[bytes]) -> Image.Image:
    # Image.open() warns above 90 megapixels and refuses above 180, as a guard for
    # web servers. The limit here is our own, so the format's class is asked itself.
    Image.init()
    prefix = file.read(16)
    for name in _FORMATS:
        factory, accept = Image.OPEN[name]
        if accept is None or accept(prefix) is not True:
            continue
        file.seek(0)
        try:
            return factory(file, "")
        except (SyntaxError, OSError, ValueError, IndexError, TypeError) as error:
            raise NotThisFormatError(f"a damaged {name} file ({error})") from error
    raise NotThisFormatError("neither PNG, JPEG, BMP nor WebP")


def _check(path: Path, image: Image.Image, file: IO[bytes]) -> None:
    pixels = image.width * image.height
    if pixels > MAX_FLAT_PIXELS:
        raise SlideError.unexpected(
            f"at most {MAX_FLAT_PIXELS:,} pixels in an image without smaller levels",
            f"{pixels:,} in {path.name}",
            "Save it as a pyramidal TIFF (QuPath, or vips tiffsave --pyramid --tile).",
        )
    if image.mode in _OWN_MODES and not _is_deep_png(image, file):
        return
    kind = "16-bit pixels" if image.mode in _OWN_MODES else f"{image.mode} pixels"
    raise SlideError.unexpected(
        "8-bit RGB or grayscale pixels",
        f"{kind} in {path.name}",
        "Convert it to 8-bit RGB, for example in ImageJ: Image > Type > RGB Color.",
    )


def _is_deep_png(image: Image.Image, file: IO[bytes]) -> bool:
    # Pillow halves 16-bit RGB without a word; byte 24 of a PNG is its bit depth.
    if image.format != "PNG":
        return False
    place = file.tell()
    file.seek(24)
    depth = file.read(1)
    file.seek(place)
    return depth == b"\x10"


def _note(image: Image.Image) -> str | None:
    if image.mode in ("1", "L"):
        return GRAY_NOTE
    has_alpha = image.mode in ("LA", "RGBA") or "transparency" in image.info
    return ALPHA_NOTE if has_alpha else None


def _decode(path: Path) -> RgbArray:
    try:
        with path.open("rb") as file:
            image = _identify(file)
            return to_rgb(np.asarray(image.convert(_OWN_MODES[image.mode])))
    except (OSError, SyntaxError, UnidentifiedImageError, NotThisFormatError) as error:
        raise SlideError.unexpected(
            f"all pixels of {path.name}",
            f"Pillow's answer: {error}",
            "The file is cut off or damaged: copy it again from its origin.",
        ) from error
