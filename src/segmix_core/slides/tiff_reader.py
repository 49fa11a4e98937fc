"""TIFF files of all kinds, through tifffile: pyramids, OME-TIFF with SubIFDs, plain."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

from segmix_core.errors import SlideError
from segmix_core.geometry import Box, mean_mpp
from segmix_core.slides.orientation import show_upright
from segmix_core.slides.pixels import (
    ALPHA_NOTE,
    MAX_ALPHA_PIXELS,
    WHITE,
    NotThisFormatError,
    on_white,
    reading,
)
from segmix_core.slides.slide import RgbArray, Slide
from segmix_core.slides.tiff_codec import check_stated_size
from segmix_core.slides.tiff_header import (
    TiffLevel,
    TiffPicture,
    find_picture,
    grid_shape,
    open_tiff,
    segment_shape,
)
from segmix_core.slides.tiff_pixel_size import find_pixel_size

_CACHE_BYTES = 128 * 2**20
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_with_tifffile(path: Path) -> Slide:
    """Open a TIFF.

    Raises
    ------
    NotThisFormatError
        If it is not a TIFF.
    SlideError
        If it is damaged, its pixels are not 8-bit RGB or grayscale or are compressed in
        a way that cannot be read, it is a stack, or too large without smaller levels.
    """
    with path.open("rb") as file:
        if file.read(4) not in _MAGIC:
            raise NotThisFormatError("no TIFF")
    with reading(path, f"{path.name} is a damaged TIFF"):
        tiff = open_tiff(path)
        try:
            picture = find_picture(path, tiff)
            slide = TiffSlide(path, tiff, picture)
        except BaseException:
            tiff.close()
            raise
        return show_upright(slide, picture.orientation)


@dataclass(frozen=True, slots=True)
class _Plane:
    """Where some samples of a level's pixels are stored."""

    page: tifffile.TiffPage
    first: int
    """Index of its first tile or strip in the page."""
    samples: tuple[int, ...]
    """Their indices in the pixels of a tile."""
    places: slice
    """Their indices among the used samples."""


class TiffSlide:
    """A TIFF with its levels, as stored; safe to read from several threads at once.

    Tiles and strips are decoded one by one; the last 128 MiB are cached.
    """

    def __init__(
        self, path: Path, tiff: tifffile.TiffFile, picture: TiffPicture
    ) -> None:
        self.path = path
        self.level_shapes = tuple(level.shape for level in picture.levels)
        size = find_pixel_size(tiff, picture.levels[0].page, picture.ome_size)
        self.mpp_yx = size.yx
        self.mpp = mean_mpp(size.yx)
        self.bounds: Box | None = None
        self.identity: str | None = None
        self._notes = picture.notes + size.notes
        self.size_notes = size.notes
        self._tiff = tiff
        self._samples = picture.samples
        self._levels = [
            _planes(level, picture.samples.used) for level in picture.levels
        ]
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[int, int, int], npt.NDArray[np.uint8]] = (
            OrderedDict()
        )
        self._cached_bytes = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on what was changed; reads the smallest level to find out."""
        if ALPHA_NOTE in self._notes and self._is_opaque():
            return tuple(note for note in self._notes if note != ALPHA_NOTE)
        return self._notes

    def _is_opaque(self) -> bool:
        """Return whether no pixel is transparent; False if checking takes too long."""
        shape = self.level_shapes[-1]
        if prod(shape) > MAX_ALPHA_PIXELS:
            return False
        try:
            pixels = self._read(len(self.level_shapes) - 1, Box(0, 0, *shape))
        except SlideError:
            return False
        return bool(pixels[..., -1].min() == WHITE)

    def read_level(self, level: int, box: Box) -> RgbArray:
        """Return (H, W, 3) pixels of ``box``, in pixels of ``level``."""
        return on_white(
            box,
            self.level_shapes[level],
            lambda inside: self._samples.to_rgb(self._read(level, inside)),
        )

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()
        self._cache.clear()

    def _read(self, level: int, box: Box) -> npt.NDArray[np.uint8]:
        """Return (H, W, used samples)."""
        pixels = np.empty((box.height, box.width, len(self._samples.used)), np.uint8)
        for index, plane in enumerate(self._levels[level]):
            page = plane.page.keyframe
            rows, cols = segment_shape(page)
            across = grid_shape(page)[1]
            for row in range(box.y // rows, -(-box.bottom // rows)):
                for col in range(box.x // cols, -(-box.right // cols)):
                    part = self._part(level, index, row * across + col)
                    whole = Box(row * rows, col * cols, *part.shape[:2])
                    common = whole.intersect(box)
                    pixels[(*common.slices_in(box), plane.places)] = part[
                        common.slices_in(whole)
                    ]
        return pixels

    def _part(self, level: int, plane: int, index: int) -> npt.NDArray[np.uint8]:
        source = self._levels[level][plane]
        if source.page.databytecounts[source.first + index] == 0:
            return self._never_scanned(source)
        key = (level, plane, index)
        with self._lock:
            found = self._cache.get(key)
            if found is not None:
                self._cache.move_to_end(key)
                return found
        with reading(self.path, f"Part of {self.path.name} cannot be decoded"):
            part = self._decode(source, source.first + index)
        with self._lock:
            if key not in self._cache:
                self._cache[key] = part
                self._cached_bytes += part.nbytes
            while self._cached_bytes > _CACHE_BYTES and len(self._cache) > 1:
                self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return part

    def _never_scanned(self, plane: _Plane) -> npt.NDArray[np.uint8]:
        """Return a white tile or strip that takes no memory."""
        shape = (*segment_shape(plane.page.keyframe), len(plane.samples))
        return np.broadcast_to(np.uint8(0 if self._samples.is_inverted else 255), shape)

    def _decode(self, plane: _Plane, index: int) -> npt.NDArray[np.uint8]:
        page = plane.page.keyframe
        data = self._bytes(plane.page, index)
        check_stated_size(page, data, prod(segment_shape(page)))
        array, _, _ = page.decode(data, index, jpegtables=plane.page.jpegtables)
        pixels = np.asarray(array[0], np.uint8)
        is_whole = plane.samples == tuple(range(pixels.shape[-1]))
        return pixels if is_whole else pixels[..., plane.samples]

    def _bytes(self, page: tifffile.TiffPage, index: int) -> bytes:
        with self._lock:
            file = self._tiff.filehandle
            file.seek(page.dataoffsets[index])
            data: bytes = file.read(page.databytecounts[index])
            return data


def _planes(level: TiffLevel, used: tuple[int, ...]) -> list[_Plane]:
    if len(level.pages) > 1:
        return [
            _Plane(page, 0, (0,), slice(place, place + 1))
            for place, page in enumerate(level.pages)
        ]
    page = level.page
    if page.planarconfig != 2:
        return [_Plane(page, 0, used, slice(None))]
    down, across = grid_shape(page)
    return [
        _Plane(page, sample * down * across, (0,), slice(place, place + 1))
        for place, sample in enumerate(used)
    ]
