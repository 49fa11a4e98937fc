"""A slide as lazily read arrays.

Each level behaves like a read-only NumPy array of shape (H, W, 3), which is what image
viewers take as one level of a multiscale image. Slicing reads chunks and keeps the last
ones, so panning back costs nothing.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from types import EllipsisType

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box
from segmix_core.slides.slide import RgbArray, Slide

_CHUNK = 512
_CACHE_BYTES = 256 * 2**20
_LARGE = 4096
"""Smaller levels are added if the coarsest one has a longer edge, in pixels."""
_SMALL = 2048
"""Longest edge of the coarsest added level, in pixels."""

_Part = int | slice | EllipsisType
_Index = _Part | tuple[_Part, ...]


def pyramid_arrays(slide: Slide) -> list["LevelArray"]:
    """Return the slide's levels, largest first, as lazily read arrays.

    Where the coarsest stored level is longer than 4096 pixels, halved levels follow
    until 2048; they are computed from the level before, chunk by chunk. Reading
    stops working when the slide is closed. Safe to read from several threads.
    """
    cache = _ChunkCache(_CACHE_BYTES)
    levels = [
        LevelArray(shape, _stored(slide, level), cache)
        for level, shape in enumerate(slide.level_shapes)
    ]
    if max(levels[-1].shape) > _LARGE:
        while max(levels[-1].shape) > _SMALL:
            levels.append(_halved(levels[-1], cache))
    return levels


def _stored(slide: Slide, level: int) -> Callable[[Box], RgbArray]:
    return lambda box: slide.read_level(level, box)


def _halved(parent: "LevelArray", cache: "_ChunkCache") -> "LevelArray":
    def read(box: Box) -> RgbArray:
        fine = parent.read(box.scaled(2).intersect(Box(0, 0, *parent.shape[:2])))
        # An odd edge: repeat the last row or column.
        odd = (2 * box.height - fine.shape[0], 2 * box.width - fine.shape[1])
        fine = np.pad(fine, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge")
        four = fine.reshape(box.height, 2, box.width, 2, 3)
        mean = (four.sum(axis=(1, 3), dtype=np.uint16) + 2) // 4
        return np.asarray(mean, np.uint8)

    height, width = parent.shape[:2]
    return LevelArray(((height + 1) // 2, (width + 1) // 2), read, cache)


class _ChunkCache:
    """Cache of the chunks read last, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._chunks: OrderedDict[tuple[int, int, int], RgbArray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[int, int, int], read: Callable[[], RgbArray]) -> RgbArray:
        with self._lock:
            if key in self._chunks:
                self._chunks.move_to_end(key)
                return self._chunks[key]
        # Outside the lock: two threads may read the same chunk, but none waits.
        chunk = read()
        with self._lock:
            if key not in self._chunks:
                self._chunks[key] = chunk
                self._size += chunk.nbytes
            while self._size > self._limit and len(self._chunks) > 1:
                self._size -= self._chunks.popitem(last=False)[1].nbytes
        return chunk


class LevelArray:
    """One level of a slide; index it like a NumPy array of shape (H, W, 3)."""

    dtype: np.dtype[np.uint8] = np.dtype(np.uint8)
    ndim = 3
    chunks = (_CHUNK, _CHUNK, 3)

    def __init__(
        self,
        shape: tuple[int, int],
        read: Callable[[Box], RgbArray],
        cache: _ChunkCache,
    ) -> None:
        self.shape = (*shape, 3)
        self._read = read
        self._cache = cache

    @property
    def size(self) -> int:
        """Number of values."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes of the level if it were in memory."""
        return self.size

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[np.uint8]:
        if copy is False:
            raise ValueError("copy must be None or True: the pixels are in a file")
        return self[...].astype(dtype or self.dtype, copy=False)

    def __getitem__(self, index: _Index) -> npt.NDArray[np.uint8]:
        rows, cols, channels = _three_parts(index)
        row_place, row_span = _place(rows, self.shape[0])
        col_place, col_span = _place(cols, self.shape[1])
        box = Box(row_span[0], col_span[0], row_span[1], col_span[1])
        return self.read(box)[row_place, col_place, channels]

    def read(self, box: Box) -> RgbArray:
        """Return the pixels of a box inside of the level, (H, W, 3)."""
        out = np.empty((box.height, box.width, 3), np.uint8)
        for row in range(box.y // _CHUNK, -(-box.bottom // _CHUNK)):
            for col in range(box.x // _CHUNK, -(-box.right // _CHUNK)):
                whole = Box(row * _CHUNK, col * _CHUNK, _CHUNK, _CHUNK)
                whole = whole.intersect(Box(0, 0, *self.shape[:2]))
                part = whole.intersect(box)
                chunk = self._chunk(row, col, whole)
                out[part.slices_in(box)] = chunk[part.slices_in(whole)]
        return out

    def _chunk(self, row: int, col: int, whole: Box) -> RgbArray:
        return self._cache.get((id(self), row, col), lambda: self._read(whole))


def _three_parts(index: _Index) -> tuple[int | slice, int | slice, int | slice]:
    given = index if isinstance(index, tuple) else (index,)
    parts: list[int | slice] = []
    for part in given:
        if isinstance(part, EllipsisType):
            parts += [slice(None)] * (4 - len(given))
        else:
            parts.append(part)
    if len(parts) > 3:
        raise IndexError(f"There are at most 3 indices, not {len(parts)}")
    parts += [slice(None)] * (3 - len(parts))
    return parts[0], parts[1], parts[2]


def _place(part: int | slice, length: int) -> tuple[int | slice, tuple[int, int]]:
    """Return the index inside of the pixels read, and their start and length."""
    if not isinstance(part, slice):
        number = range(length)[part]
        return 0, (number, 1)
    wanted = range(length)[part]
    if len(wanted) == 0:
        return slice(0, 0), (0, 0)
    low, high = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])
    step = slice(None, None, wanted.step)
    return step, (low, high - low + 1)
