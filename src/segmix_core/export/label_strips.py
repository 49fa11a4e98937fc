"""Label maps as strips of rows: assembled from boxes, spooled, cut into tiles."""

import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box

LabelArray = npt.NDArray[np.uint8]
"""(H, W) of class indices."""

STRIP_ROWS = 512
"""Rows of a strip, and edge of a TIFF tile; even, so that strips halve exactly."""


def strips_from_boxes(
    boxes: Iterable[tuple[Box, LabelArray]], shape: tuple[int, int], fill: int
) -> Iterator[LabelArray]:
    """Yield a label map as strips of :data:`STRIP_ROWS` rows, top to bottom.

    Parameters
    ----------
    boxes
        Rectangles of the map with their labels (h, w). Their ``y`` never decreases;
        the order among equal ``y`` does not matter. Parts outside the map are cut off,
        and the later of overlapping rectangles wins.
    shape
        (height, width) of the map.
    fill
        Class index of pixels that no box covers.

    Yields
    ------
    LabelArray
        (STRIP_ROWS, width); the last strip may have fewer rows. Only strips that a
        box can still reach are in memory.

    Raises
    ------
    ValueError
        If a box comes after one further down, or its labels have another shape.
    """
    canvas = _StripCanvas(shape, fill)
    last_y: int | None = None
    for box, labels in boxes:
        if labels.shape != (box.height, box.width):
            raise ValueError(f"Labels {labels.shape} do not match {box}")
        if last_y is not None and box.y < last_y:
            raise ValueError(
                f"Boxes must go top to bottom, but {box} comes after y {last_y}"
            )
        last_y = box.y
        yield from canvas.take_above(box.y)
        canvas.paint(box, labels)
    yield from canvas.take_above(shape[0] + STRIP_ROWS)


class _StripCanvas:
    """The strips that boxes have touched but that are not written yet."""

    def __init__(self, shape: tuple[int, int], fill: int) -> None:
        self._height, self._width = shape
        self._fill = fill
        self._strips: dict[int, LabelArray] = {}
        self._next = 0

    def paint(self, box: Box, labels: LabelArray) -> None:
        """Copy the labels of a box into the strips it crosses."""
        inside = box.intersect(Box(0, 0, self._height, self._width))
        if inside.area == 0:
            return
        first, last = inside.y // STRIP_ROWS, (inside.bottom - 1) // STRIP_ROWS
        for index in range(first, last + 1):
            if index not in self._strips:
                self._strips[index] = self._blank(index)
            strip = self._strips[index]
            top = index * STRIP_ROWS
            part = inside.intersect(Box(top, 0, len(strip), self._width))
            strip[part.moved(-top, 0).slices] = labels[part.slices_in(box)]

    def take_above(self, y: int) -> Iterator[LabelArray]:
        """Yield, in order, the strips that end at or above row ``y``, and drop them."""
        while (
            self._next * STRIP_ROWS < self._height
            and (self._next + 1) * STRIP_ROWS <= y
        ):
            strip = self._strips.pop(self._next, None)
            yield self._blank(self._next) if strip is None else strip
            self._next += 1

    def _blank(self, index: int) -> LabelArray:
        rows = min(STRIP_ROWS, self._height - index * STRIP_ROWS)
        return np.full((rows, self._width), self._fill, np.uint8)


def tiles_of(strips: Iterable[LabelArray]) -> Iterator[LabelArray]:
    """Cut strips into square tiles, left to right; pad edges with 0."""
    for strip in strips:
        for x in range(0, strip.shape[1], STRIP_ROWS):
            part = strip[:, x : x + STRIP_ROWS]
            tile = np.zeros((STRIP_ROWS, STRIP_ROWS), np.uint8)
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile


class HalfSizeSpool:
    """Every second row and column of passing strips, compressed in a hidden file.

    Holds the next level of a pyramid while the level above is being written. The file
    has no name if the system allows that, and is removed when the spool is closed.

    Parameters
    ----------
    folder
        Folder of the file, on the disk where the result goes.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._entries: list[tuple[int, tuple[int, int]]] = []

    def close(self) -> None:
        """Close and remove the file."""
        self._file.close()

    def passing(self, strips: Iterable[LabelArray]) -> Iterator[LabelArray]:
        """Yield the strips unchanged, and store them at half size."""
        for strip in strips:
            # Nearest neighbor: averages would create other class indices.
            half = strip[::2, ::2]
            data = zlib.compress(half.tobytes(), 1)
            self._file.write(data)
            self._entries.append((len(data), half.shape))
            yield strip

    def strips(self) -> Iterator[LabelArray]:
        """Yield the stored level, joining two half strips at a time."""
        self._file.seek(0)
        halves = (self._read(*entry) for entry in self._entries)
        for upper in halves:
            lower = next(halves, None)
            yield upper if lower is None else np.concatenate([upper, lower])

    def _read(self, size: int, shape: tuple[int, int]) -> LabelArray:
        data = zlib.decompress(self._file.read(size))
        return np.frombuffer(data, np.uint8).reshape(shape)
