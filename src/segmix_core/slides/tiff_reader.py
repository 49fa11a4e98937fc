"""TIFF of all kinds, through tifffile: pyramids, OME-TIFF with SubIFDs, plain."""

import struct
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

from segmix_core.errors import SlideError
from segmix_core.geometry import Box
from segmix_core.slides.pixels import (
    ALPHA_NOTE,
    GRAY_NOTE,
    NotThisFormatError,
    on_white,
    to_rgb,
)
from segmix_core.slides.slide import RgbArray
from segmix_core.slides.tiff_header import (
    check_levels,
    find_levels,
    find_mpp,
    segment_shape,
)

_CACHE_BYTES = 128 * 2**20
_DAMAGES = (
    tifffile.TiffFileError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    OSError,
    RuntimeError,
    struct.error,
    ZeroDivisionError,
)
"""What tifffile and the decoders raise on broken files; imagecodecs' own errors are
RuntimeErrors."""


def open_with_tifffile(path: Path) -> "TiffSlide":
    """Open a TIFF.

    Raises
    ------
    NotThisFormatError
        If it is no TIFF or its directory is damaged.
    SlideError
        If its pixels are not 8-bit RGB or grayscale, it is a stack, cut off, or too
        large without smaller levels.
    """
    try:
        tiff = tifffile.TiffFile(path)
    except _DAMAGES as error:
        raise NotThisFormatError(str(error) or type(error).__name__) from error
    try:
        levels = find_levels(path, tiff)
        check_levels(path, levels)
        return TiffSlide(path, tiff, levels)
    except _DAMAGES as error:
        tiff.close()
        raise NotThisFormatError(f"a damaged TIFF ({error})") from error
    except SlideError:
        tiff.close()
        raise


class TiffSlide:
    """A TIFF with its levels; safe to read from several threads at once.

    Tiles and strips are decoded one by one and the last ones kept (128 MiB).
    """

    def __init__(
        self, path: Path, tiff: tifffile.TiffFile, levels: list[tifffile.TiffPage]
    ) -> None:
        self.path = path
        self.level_shapes = tuple((p.imagelength, p.imagewidth) for p in levels)
        self.mpp = find_mpp(tiff, levels[0])
        samples = levels[0].samplesperpixel
        notes = {1: GRAY_NOTE, 2: ALPHA_NOTE, 4: ALPHA_NOTE}
        is_palette = levels[0].photometric == tifffile.PHOTOMETRIC.PALETTE
        self.notes = (notes[samples],) if samples != 3 and not is_palette else ()
        self._tiff = tiff
        self._levels = levels
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[int, int], npt.NDArray[np.uint8]] = OrderedDict()
        self._cached_bytes = 0

    def read_level(self, level: int, box: Box) -> RgbArray:
        """Return (H, W, 3) pixels of ``box``, in pixels of ``level``."""
        return on_white(box, self.level_shapes[level], lambda b: self._read(level, b))

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()
        self._cache.clear()

    def _read(self, level: int, box: Box) -> RgbArray:
        page = self._levels[level]
        samples = page.samplesperpixel
        pixels = np.empty((box.height, box.width, samples), np.uint8)
        rows, cols = segment_shape(page)
        across = -(-page.imagewidth // cols)
        down = -(-page.imagelength // rows)
        planes = samples if page.planarconfig == 2 else 1
        for plane in range(planes):
            to = slice(plane, plane + 1) if planes > 1 else slice(None)
            for row in range(box.y // rows, -(-box.bottom // rows)):
                for col in range(box.x // cols, -(-box.right // cols)):
                    segment = self._segment(level, (plane * down + row) * across + col)
                    whole = Box(row * rows, col * cols, *segment.shape[:2])
                    part = whole.intersect(box)
                    pixels[(*part.moved(-box.y, -box.x).slices, to)] = segment[
                        part.moved(-whole.y, -whole.x).slices
                    ]
        return _colors(pixels, page)

    def _segment(self, level: int, index: int) -> npt.NDArray[np.uint8]:
        with self._lock:
            found = self._cache.get((level, index))
            if found is not None:
                self._cache.move_to_end((level, index))
                return found
        segment = self._decode(level, index)
        with self._lock:
            if (level, index) not in self._cache:
                self._cache[level, index] = segment
                self._cached_bytes += segment.nbytes
            while self._cached_bytes > _CACHE_BYTES and len(self._cache) > 1:
                self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return segment

    def _decode(self, level: int, index: int) -> npt.NDArray[np.uint8]:
        page = self._levels[level]
        try:
            data = self._bytes(page, index)
            array, _, shape = page.decode(data, index, jpegtables=page.jpegtables)
        except _DAMAGES as error:
            raise SlideError.unexpected(
                f"pixels at level {level} of {self.path.name}",
                f"a part that cannot be decoded ({error})",
                "The file is cut off or damaged: copy it again from its origin.",
            ) from error
        if array is None:
            # A part of length 0 was never scanned.
            return np.full(shape[1:], 255, np.uint8)
        return np.asarray(array[0], np.uint8)

    def _bytes(self, page: tifffile.TiffPage, index: int) -> bytes | None:
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        if count == 0:
            return None
        with self._lock:
            file = self._tiff.filehandle
            file.seek(offset)
            data: bytes = file.read(count)
            return data


def _colors(pixels: npt.NDArray[np.uint8], page: tifffile.TiffPage) -> RgbArray:
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        palette = (np.asarray(page.colormap) >> 8).astype(np.uint8)
        return palette.T[pixels[..., 0]]
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        pixels = 255 - pixels
    return to_rgb(pixels, premultiplied=tuple(page.extrasamples[:1]) == (1,))
