"""PNG, JPEG, BMP, WebP, GIF and JPEG 2000, through Pillow."""

import mmap
import struct
import threading
import zlib
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image

from segmix_core.errors import SlideError
from segmix_core.geometry import Box
from segmix_core.slides.level_shapes import check_edges
from segmix_core.slides.orientation import UPRIGHT, show_upright
from segmix_core.slides.pixels import (
    ALPHA_NOTE,
    GRAY_NOTE,
    MAX_ALPHA_PIXELS,
    MAX_PART_PIXELS,
    WHITE,
    NotThisFormatError,
    on_white,
    reading,
    to_rgb,
    too_large,
)
from segmix_core.slides.slide import RgbArray, Slide
from segmix_core.slides.stated_size import read_jpeg2000_size

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".bmp", ".webp", ".gif", ".jp2"}
)
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "JPEG2000")
# Pillow's mode of the pixels -> the mode to convert it to.
_OWN_MODES = {
    "1": "L", "L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "P": "RGBA",
    "PA": "RGBA",
}  # fmt: skip
_MAX_JPEG2000_PIXELS = MAX_PART_PIXELS // 4
"""Smaller limit: OpenJPEG holds several 32-bit copies of all pixels."""
_BAND_PIXELS = 1 << 24
_ORIENTATION = 274
_EXIF_ERRORS = (
    SyntaxError, ValueError, TypeError, LookupError, OSError, ArithmeticError,
    AttributeError, struct.error,
)  # fmt: skip
"""Errors of Pillow on damaged EXIF; the image itself is intact."""
_FRAMES_NOTE = "The file contains several images; only the first one is read."


def open_with_pillow(path: Path) -> Slide:
    """Open a plain image; its pixels are read when they are first needed.

    Raises
    ------
    NotThisFormatError
        If it is not PNG, JPEG, BMP, WebP, GIF or JPEG 2000.
    SlideError
        If it is damaged, its pixels are not 8-bit RGB or grayscale, or too many.
    """
    with path.open("rb") as file:
        image = _identify(path, file)
        with reading(path, f"{path.name} is a damaged {image.format} file"):
            _check(path, image, file)
            slide = ImageSlide(path, (image.height, image.width), _notes(image))
            return show_upright(slide, _orientation(image, file))


class ImageSlide:
    """A plain image with one level, held in memory; safe to read from threads."""

    def __init__(
        self, path: Path, shape: tuple[int, int], notes: tuple[str, ...]
    ) -> None:
        self.path = path
        self.mpp_yx: tuple[float, float] | None = None
        self.mpp: float | None = None
        self.bounds: Box | None = None
        self.identity: str | None = None
        self.level_shapes = (shape,)
        self._notes = notes
        self.size_notes: tuple[str, ...] = ()
        self._pixels: RgbArray | None = None
        self._lock = threading.Lock()

    def read_level(self, level: int, box: Box) -> RgbArray:
        """Return (H, W, 3) pixels of ``box``; the only level is 0."""
        return on_white(
            box, self.level_shapes[level], lambda b: self._all()[b.slices].copy()
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on what was changed; small images are read to find out."""
        if ALPHA_NOTE in self._notes and self._is_opaque():
            return tuple(note for note in self._notes if note != ALPHA_NOTE)
        return self._notes

    def _is_opaque(self) -> bool:
        """Return whether no pixel is transparent; False if checking takes too long."""
        if prod(self.level_shapes[0]) > MAX_ALPHA_PIXELS:
            return False
        try:
            return bool(self._decoded(_alpha).min() == WHITE)
        except SlideError:
            return False

    def _all(self) -> RgbArray:
        with self._lock:
            if self._pixels is None:
                shape = self.level_shapes[0]
                self._pixels = self._decoded(lambda image: _decode(image, shape))
            return self._pixels

    def _decoded(self, decode: Callable[[Image.Image], RgbArray]) -> RgbArray:
        message = f"{self.path.name} is truncated or damaged"
        with reading(self.path, message), self.path.open("rb") as file:
            image = _identify(self.path, file)
            _check(self.path, image, file)
            _scale_transparency(image, _bits(image, file))
            return decode(image)

    def close(self) -> None:
        """Free the pixels."""
        with self._lock:
            self._pixels = None


def _identify(path: Path, file: IO[bytes]) -> Image.Image:
    # Image.open() warns above 90 megapixels and refuses above 180, to protect web
    # servers. SegMix has its own limit, so call the class of the format directly.
    Image.init()
    prefix = file.read(16)
    for name in _FORMATS:
        factory, accept = Image.OPEN[name]
        if accept is None or accept(prefix) is not True:
            continue
        file.seek(0)
        with reading(path, f"{path.name} is a damaged {name} file"):
            try:
                return factory(file, "")
            except Image.DecompressionBombError as error:
                # Some of Pillow's classes check a frame before its size is known here.
                raise SlideError(
                    f"{path.name} claims more pixels than can be read.",
                    "Save it as a pyramidal TIFF, or copy it again if it is damaged.",
                ) from error
    raise NotThisFormatError("none of the formats that Pillow reads here")


def _check(path: Path, image: Image.Image, file: IO[bytes]) -> None:
    shape = (image.height, image.width)
    bits = _bits(image, file)
    is_jpeg2000 = image.format == "JPEG2000"
    limit = _MAX_JPEG2000_PIXELS if is_jpeg2000 else MAX_PART_PIXELS
    if shape[0] * shape[1] > limit:
        raise too_large(path, shape, limit)
    check_edges(path, shape)
    if image.mode in _OWN_MODES and bits <= 8:
        return
    kind = "16-bit" if image.mode in _OWN_MODES else image.mode
    raise SlideError(
        f"{path.name} has {kind} pixels; 8-bit RGB or grayscale is needed.",
        "Convert it to 8-bit RGB, for example in ImageJ: Image > Type > RGB Color.",
    )


def _bits(image: Image.Image, file: IO[bytes]) -> int:
    """Return the bits per sample; Pillow silently reduces more than 8.

    Raises
    ------
    ValueError
        If the pixels of a JPEG 2000 file differ in size from its header.
    """
    place = file.tell()
    try:
        if image.format == "PNG":
            file.seek(24)
            return file.read(1)[0]
        if image.format == "JPEG2000":
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                stated = read_jpeg2000_size(data)
            if stated is None or (stated.width, stated.height) != image.size:
                raise ValueError("its header and its pixels differ in size")
            return stated.bits
        return 8
    finally:
        file.seek(place)


def _scale_transparency(image: Image.Image, bits: int) -> None:
    # Pillow scales 2- and 4-bit gray to 8 bits, but not the transparent value.
    value = image.info.get("transparency")
    if image.format == "PNG" and image.mode == "L" and isinstance(value, int):
        image.info["transparency"] = value * 255 // (2**bits - 1)


def _notes(image: Image.Image) -> tuple[str, ...]:
    notes = []
    if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
        notes.append(ALPHA_NOTE)
    elif image.mode in ("1", "L"):
        notes.append(GRAY_NOTE)
    if getattr(image, "is_animated", False):
        notes.append(_FRAMES_NOTE)
    return tuple(notes)


def _orientation(image: Image.Image, file: IO[bytes]) -> int:
    """Return the orientation in EXIF or XMP, as Pillow's exif_transpose does."""
    if image.format == "PNG" and "exif" not in image.info:
        exif = _find_exif(file)
        if exif is not None:
            image.info["exif"] = b"Exif\0\0" + exif
    try:
        # Pillow's PNG class would decode all pixels to find what comes after them.
        value = Image.Image.getexif(image).get(_ORIENTATION, UPRIGHT)
    except (*_EXIF_ERRORS, Warning):
        return UPRIGHT
    return value if isinstance(value, int) else UPRIGHT


def _find_exif(file: IO[bytes]) -> bytes | None:
    """Return the eXIf chunk of a PNG, wherever it is."""
    place = file.tell()
    try:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", head)
            if name == b"eXIf" and length < 1 << 16:
                exif = file.read(length)
                is_whole = file.read(4) == struct.pack(">I", zlib.crc32(name + exif))
                return exif if is_whole else None
            file.seek(length + 4, 1)
        return None
    finally:
        file.seek(place)


def _decode(image: Image.Image, shape: tuple[int, int]) -> RgbArray:
    image.load()
    mode = _mode_of(image)
    height, width = shape
    pixels = np.empty((height, width, 3), np.uint8)
    # In bands: Pillow's conversions and NumPy's copies would each hold all pixels.
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        band = image.crop((0, top, width, bottom))
        pixels[top:bottom] = to_rgb(_samples(band, mode))
    return pixels


def _alpha(image: Image.Image) -> npt.NDArray[np.uint8]:
    image.load()
    return _samples(image, _mode_of(image))[..., -1]


def _mode_of(image: Image.Image) -> str:
    return "RGBA" if "transparency" in image.info else _OWN_MODES[image.mode]


def _samples(image: Image.Image, mode: str) -> npt.NDArray[np.uint8]:
    return np.asarray(image if image.mode == mode else image.convert(mode))
