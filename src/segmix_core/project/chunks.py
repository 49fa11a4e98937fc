"""Corrected mask pixels in the database: squares of 512 pixels, compressed.

Every function runs inside the caller's transaction, so the pixels and the journal entry
that changes them are stored together or not at all.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box
from segmix_core.project.opening import Row
from segmix_core.project.packing import decoding, deflate, inflate
from segmix_core.project.records import UNCHANGED, UNTOUCHED, ImageRecord, TileTable

CHUNK_PX = 512
MaskArray = npt.NDArray[np.uint8]
Canvas = dict[tuple[int, int, int], MaskArray]
"""Squares in memory by image, row and column."""
_SHAPE = (CHUNK_PX, CHUNK_PX)


def read_box(connection: sqlite3.Connection, image_id: int, box: Box) -> MaskArray:
    """Return (height, width) uint8 of ``box`` on the working grid of an image.

    254 where nobody has corrected, and outside the image.

    Raises
    ------
    DamagedError
        If a stored square is damaged.
    """
    out = np.full((box.height, box.width), UNTOUCHED, np.uint8)
    for row, col, pixels in _stored(connection, image_id, box):
        square = _square(row, col)
        part = box.intersect(square)
        target = part.slices_in(box)
        out[target] = pixels[part.slices_in(square)]
    return out


def write_box(
    connection: sqlite3.Connection, image_id: int, box: Box, values: MaskArray
) -> None:
    """Store the pixels of ``box``; squares without a corrected pixel are removed."""
    canvas: Canvas = {}
    load(connection, canvas, image_id, box)
    paste(canvas, image_id, box, values)
    for (_, row, col), pixels in canvas.items():
        write_square(connection, image_id, row, col, pixels)


def load(
    connection: sqlite3.Connection, canvas: Canvas, image_id: int, box: Box
) -> None:
    """Load the stored squares that ``box`` touches and ``canvas`` lacks."""
    for row, col, pixels in _stored(connection, image_id, box):
        canvas.setdefault((image_id, row, col), pixels)


def paste(canvas: Canvas, image_id: int, box: Box, values: MaskArray) -> None:
    """Draw the pixels of ``box`` into squares by image, row and column, in memory."""
    for row, col in _squares(box):
        square = _square(row, col)
        part = box.intersect(square)
        pixels = canvas.get((image_id, row, col))
        if pixels is None:
            pixels = canvas[image_id, row, col] = np.full(_SHAPE, UNTOUCHED, np.uint8)
        inside = values[part.slices_in(box)]
        pixels[part.slices_in(square)] = inside


def write_square(
    connection: sqlite3.Connection, image_id: int, row: int, col: int, pixels: MaskArray
) -> None:
    """Store one square, (512, 512); a square without a corrected pixel is removed."""
    place = (image_id, row, col)
    if (pixels == UNTOUCHED).all():
        connection.execute(
            "DELETE FROM chunk WHERE image_id = ? AND row = ? AND col = ?", place
        )
        return
    connection.execute(
        "INSERT INTO chunk (image_id, row, col, top_class, pixels) VALUES (?,?,?,?,?) "
        "ON CONFLICT (image_id, row, col) DO UPDATE SET "
        "top_class = excluded.top_class, pixels = excluded.pixels",
        (*place, top_class(pixels), deflate(pixels.tobytes())),
    )


def top_class(pixels: MaskArray) -> int:
    """Return the largest class index among pixels; 0 if there is none."""
    classes = pixels[pixels < UNCHANGED]
    return int(classes.max()) if classes.size else 0


def corrected_images(connection: sqlite3.Connection) -> list[int]:
    """Return the ids of the images with at least one corrected pixel."""
    rows = connection.execute("SELECT DISTINCT image_id FROM chunk ORDER BY image_id")
    return [image_id for (image_id,) in rows]


def corrected_tiles(
    read: Callable[[str, tuple[int, ...]], list[Row]],
    images: Sequence[ImageRecord],
    tiles: TileTable,
) -> npt.NDArray[np.int64]:
    """Return the ids, (n,), of the tiles with at least one corrected pixel.

    Parameters
    ----------
    read
        Runs a query and returns its rows. Squares are read one at a time, so that
        other queries do not have to wait for all of them.
    images, tiles
        The images, and their tiles.
    """
    touched = {row[0] for row in read("SELECT DISTINCT image_id FROM chunk", ())}
    order = np.argsort(tiles.image_ids, kind="stable")
    sorted_ids = tiles.image_ids[order]
    found: list[int] = []
    for image in images:
        if image.id in touched:
            low, high = np.searchsorted(sorted_ids, (image.id, image.id + 1))
            rows = order[low:high]
            boxes = [tiles.box(int(row)).scaled(1 / image.downsample) for row in rows]
            found += tiles.ids[rows[_corrected(read, image.id, boxes)]].tolist()
    return np.array(sorted(found), np.int64)


def _corrected(
    read: Callable[[str, tuple[int, ...]], list[Row]],
    image_id: int,
    boxes: Sequence[Box],
) -> list[int]:
    """Return which boxes of an image have corrected pixels."""
    at_square: dict[tuple[int, int], list[int]] = {}
    for number, box in enumerate(boxes):
        for place in _squares(box):
            at_square.setdefault(place, []).append(number)
    found: set[int] = set()
    places = read("SELECT id, row, col FROM chunk WHERE image_id = ?", (image_id,))
    for chunk_id, row, col in places:
        waiting = [n for n in at_square.get((row, col), ()) if n not in found]
        if not waiting:
            continue
        # The square may have been removed since.
        for (content,) in read("SELECT pixels FROM chunk WHERE id = ?", (chunk_id,)):
            is_corrected = decode_square(content) != UNTOUCHED
            square = _square(row, col)
            for number in waiting:
                part = boxes[number].intersect(square)
                if is_corrected[part.slices_in(square)].any():
                    found.add(number)
    return sorted(found)


def decode_square(content: bytes) -> MaskArray:
    """Return one stored square, (512, 512) uint8; DamagedError if it is invalid."""
    with decoding("mask pixels"):
        raw = inflate(content, CHUNK_PX**2)
        return np.frombuffer(raw, np.uint8).reshape(_SHAPE).copy()


def changed_box(before: MaskArray, after: MaskArray) -> Box | None:
    """Return the smallest box, relative to the arrays, that holds all differences."""
    different = before != after
    rows, cols = np.flatnonzero(different.any(1)), np.flatnonzero(different.any(0))
    if not rows.size:
        return None
    y, x = int(rows[0]), int(cols[0])
    return Box(y, x, int(rows[-1]) - y + 1, int(cols[-1]) - x + 1)


def mask_key(image_id: int, box: Box) -> npt.NDArray[np.int64]:
    """Return the journal's key of a mask change: image id, y, x, height, width."""
    return np.array([image_id, box.y, box.x, box.height, box.width], np.int64)


def from_mask_key(key: npt.NDArray[np.int64]) -> tuple[int, Box]:
    """Return image id and box of a key."""
    image_id, y, x, height, width = (int(value) for value in key)
    return image_id, Box(y, x, height, width)


def _stored(
    connection: sqlite3.Connection, image_id: int, box: Box
) -> Iterator[tuple[int, int, MaskArray]]:
    if not box.area:
        return
    rows = connection.execute(
        "SELECT row, col, pixels FROM chunk WHERE image_id = ? "
        "AND row BETWEEN ? AND ? AND col BETWEEN ? AND ?",
        (
            image_id,
            *(box.y // CHUNK_PX, (box.bottom - 1) // CHUNK_PX),
            *(box.x // CHUNK_PX, (box.right - 1) // CHUNK_PX),
        ),
    ).fetchall()
    for row, col, content in rows:
        yield row, col, decode_square(content)


def _squares(box: Box) -> Iterator[tuple[int, int]]:
    if box.area:
        for row in range(box.y // CHUNK_PX, (box.bottom - 1) // CHUNK_PX + 1):
            for col in range(box.x // CHUNK_PX, (box.right - 1) // CHUNK_PX + 1):
                yield row, col


def _square(row: int, col: int) -> Box:
    return Box(row * CHUNK_PX, col * CHUNK_PX, *_SHAPE)
