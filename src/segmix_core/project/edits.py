"""Apply and reverse each kind of change in the tables.

=========  =========================  ==============================================
kind       keys                       before, after
=========  =========================  ==============================================
class      [index]                    (3,) text: name, color, since; (0,) where absent
source     [source id]                (1,) uint8: shown or not
images     [source id]                (n,) uint8: JSON of the rows; (0,): not removed
boxes      (n,) tile ids              (n, 8) int64: the rows; (0, 8): not removed
split      (n,) image ids             (n,) text
group      (n,) image ids             (n,) text
labels     (n,) tile ids              (n, C) int8 of LabelState
review     (n,) tile ids              (n,) int8 of Review
tiles      (n,) tile ids              (n,) uint8: shown or not
plan       [source id]                (2,) int64: tile_px, stride_px
mask       [image id, y, x, h, w]     (h, w) uint8 on the working grid
mpp        (n,) image ids             (n, 2) float64: µm of y and x; NaN: unknown
file       (n,) image ids             (n, 3) text: size, time, digest; empty: unknown
tissue     [image id]                 (n,) uint8: as in project.tissue; (0,): none
=========  =========================  ==============================================
"""

import json
import math
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segmix_core.errors import ProjectError
from segmix_core.project import chunks, tissue
from segmix_core.project.journal import Part, PartKind
from segmix_core.project.packing import Values, decoding
from segmix_core.project.records import Review

Row = dict[str, Any]
"""A row of a table, by the names of its columns."""
_UNKNOWN_BYTE = b"\xff"
"""LabelState.UNKNOWN as int8."""


@dataclass(frozen=True, slots=True, eq=False)
class TileStates:
    """The stored states of some tiles, in the requested order.

    Attributes
    ----------
    labels
        (n, C) int8 of LabelState.
    reviews
        (n,) int8 of Review.
    image_ids
        (n,) int64.
    """

    labels: npt.NDArray[np.int8]
    reviews: npt.NDArray[np.int8]
    image_ids: npt.NDArray[np.int64]


Keys = npt.NDArray[np.int64]
Write = Callable[[sqlite3.Connection, Keys, Values], None]
Read = Callable[[sqlite3.Connection, Keys, Values], Values]
"""Returns what is stored for keys now, in the form of the third argument."""


def apply(database: sqlite3.Connection, parts: Sequence[Part]) -> None:
    """Store the values after the change."""
    for part in parts:
        put(database, part, part.after)


def reverse(database: sqlite3.Connection, parts: Sequence[Part]) -> None:
    """Store the values before the change, last part first."""
    for part in reversed(parts):
        put(database, part, part.before)


def put(database: sqlite3.Connection, part: Part, values: Values) -> None:
    """Store ``values``, either the before or the after of a part."""
    with decoding(f"journal, {part.kind}"):
        _KINDS[part.kind][0](database, part.keys, values)


def is_in_force(database: sqlite3.Connection, part: Part, values: Values) -> bool:
    """Whether ``values``, the before or after of a part, are stored now."""
    with decoding(f"journal, {part.kind}"):
        now = _KINDS[part.kind][1](database, part.keys, values)
        if now.dtype.kind == "f":
            return bool(np.array_equal(now, values, equal_nan=True))
        return bool(np.array_equal(now, values))


def decode_labels(blobs: Sequence[bytes], num_classes: int) -> npt.NDArray[np.int8]:
    """Return (n, C) int8; classes added after a tile was stored are unknown.

    Raises
    ------
    DamagedError
        If a state is not in LabelState.
    """
    if set(map(len, blobs)) - {num_classes}:
        blobs = [b.ljust(num_classes, _UNKNOWN_BYTE)[:num_classes] for b in blobs]
    flat = np.frombuffer(b"".join(blobs), np.int8)
    with decoding("labels"):
        if flat.size and not -1 <= flat.min() <= flat.max() <= 1:
            raise ValueError("an invalid state")
        return flat.reshape(len(blobs), num_classes).copy()


def decode_reviews(numbers: Sequence[int]) -> npt.NDArray[np.int8]:
    """Return (n,) int8, each one of :class:`Review`.

    Raises
    ------
    DamagedError
        If one is another number.
    """
    with decoding("reviews"):
        for number in set(numbers):
            Review(number)
        return np.array(numbers, np.int8)


def tile_states(
    database: sqlite3.Connection, tile_ids: npt.NDArray[np.int64], num_classes: int
) -> TileStates:
    """Read the labels and reviews of some tiles.

    Raises
    ------
    ProjectError
        If a tile is not in the project (any more).
    ValueError
        If an id occurs twice.
    """
    if len(np.unique(tile_ids)) != len(tile_ids):
        raise ValueError("The tile ids contain duplicates")
    rows = database.execute(
        "SELECT t.id, t.labels, t.review, t.image_id FROM json_each(?) AS wanted "
        "JOIN tile AS t ON t.id = wanted.value JOIN image AS i ON i.id = t.image_id "
        "JOIN source AS s ON s.id = i.source_id WHERE t.shown AND s.shown",
        (json.dumps(tile_ids.tolist()),),
    ).fetchall()
    found = {row[0]: row for row in rows}
    if len(found) != len(tile_ids):
        count = len(tile_ids) - len(found)
        raise ProjectError(
            f"{count} of the {len(tile_ids)} tiles are no longer in the project.",
            "Check the current tiles and try again.",
        )
    ordered = [found[int(i)] for i in tile_ids]
    return TileStates(
        decode_labels([row[1] for row in ordered], num_classes),
        decode_reviews([row[2] for row in ordered]),
        np.array([row[3] for row in ordered], np.int64),
    )


def _write_class(database: sqlite3.Connection, keys: Keys, values: Values) -> None:
    index = int(keys[0])
    if not len(values):
        database.execute("DELETE FROM class WHERE idx = ?", (index,))
        return
    name, color, since = (str(text) for text in values)
    database.execute(
        "INSERT INTO class (idx, name, color, since) VALUES (?,?,?,?) "
        "ON CONFLICT (idx) DO UPDATE SET name = excluded.name, "
        "color = excluded.color, since = excluded.since",
        (index, name, color, int(since)),
    )


def _read_class(database: sqlite3.Connection, keys: Keys, _: Values) -> Values:
    row = database.execute(
        "SELECT name, color, since FROM class WHERE idx = ?", (int(keys[0]),)
    ).fetchone()
    return np.array([] if row is None else [str(value) for value in row], np.str_)


def _write_labels(database: sqlite3.Connection, keys: Keys, values: Values) -> None:
    rows = zip((row.tobytes() for row in values), keys.tolist(), strict=True)
    database.executemany("UPDATE tile SET labels = ? WHERE id = ?", rows)


def _read_labels(database: sqlite3.Connection, keys: Keys, like: Values) -> Values:
    found = _column(database, "SELECT id, labels FROM tile", keys)
    return decode_labels(found, like.shape[1])


def _write_plan(database: sqlite3.Connection, keys: Keys, values: Values) -> None:
    database.execute(
        "UPDATE source SET tile_px = ?, stride_px = ? WHERE id = ?",
        (*values.tolist(), int(keys[0])),
    )


def _read_plan(database: sqlite3.Connection, keys: Keys, _: Values) -> Values:
    row = database.execute(
        "SELECT tile_px, stride_px FROM source WHERE id = ?", (int(keys[0]),)
    ).fetchone()
    return np.array(row)


def _write_mask(database: sqlite3.Connection, keys: Keys, values: Values) -> None:
    image_id, box = chunks.from_mask_key(keys)
    if values.shape != (box.height, box.width) or values.dtype != np.uint8:
        raise ValueError(f"pixels {values.shape} for {box}")
    chunks.write_box(database, image_id, box, values)


def _read_mask(database: sqlite3.Connection, keys: Keys, _: Values) -> Values:
    return chunks.read_box(database, *chunks.from_mask_key(keys))


def _write_images(database: sqlite3.Connection, _: Keys, values: Values) -> None:
    if not len(values):
        return
    content = json.loads(values.tobytes())
    _insert(database, "source", content["source"])
    for row in content["images"]:
        _insert(database, "image", row)


def _read_images(database: sqlite3.Connection, _: Keys, like: Values) -> Values:
    # Paths, splits and pixel sizes change later; the grid of an image never does.
    if not len(like):
        return like
    wanted = {
        row["id"]: tuple(row[name] for name in _GRID)
        for row in json.loads(like.tobytes())["images"]
    }
    found = database.execute(
        f"SELECT id, {', '.join(_GRID)} FROM image "
        "WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(wanted)),),
    )
    is_same = {row[0]: row[1:] for row in found} == wanted
    return like if is_same else like[:0]


def image_rows(database: sqlite3.Connection, source_id: int) -> Values:
    """Encode the rows of a source and its images for an "images" part."""
    source = _rows_as_dicts(database, "source", "id", source_id)[0]
    images = _rows_as_dicts(database, "image", "source_id", source_id)
    return pack_rows(source, images)


def pack_rows(source: Row, images: Sequence[Row]) -> Values:
    """Encode rows, columns by name, for an "images" part."""
    text = json.dumps({"source": source, "images": list(images)})
    return np.frombuffer(text.encode(), np.uint8)


def _write_boxes(database: sqlite3.Connection, keys: Keys, values: Values) -> None:
    if len(values):
        database.executemany(
            f"INSERT OR IGNORE INTO tile (id, {_BOX_COLUMNS}, labels, review) "
            "VALUES (?,?,?,?,?,?,?,?,?, x'', 0)",
            np.column_stack((keys, values)).tolist(),
        )


def _read_boxes(database: sqlite3.Connection, keys: Keys, like: Values) -> Values:
    if not len(like):
        return like
    rows = database.execute(
        f"SELECT t.id, {_BOX_COLUMNS} FROM json_each(?) AS wanted "
        "JOIN tile AS t ON t.id = wanted.value ORDER BY t.id",
        (json.dumps(keys.tolist()),),
    ).fetchall()
    found = np.array(rows, np.int64).reshape(-1, 9)[:, 1:]
    # Whether a tile is shown changes later.
    found[:, -1] = like[:, -1] if len(found) == len(like) else 0
    return found


def _write_mpp(database: sqlite3.Connection, keys: Keys, values: Values) -> None:
    rows = [
        (*(None if math.isnan(v) else v for v in row), image_id)
        for row, image_id in zip(values.tolist(), keys.tolist(), strict=True)
    ]
    database.executemany("UPDATE image SET mpp_y = ?, mpp_x = ? WHERE id = ?", rows)


def _read_mpp(database: sqlite3.Connection, keys: Keys, _: Values) -> Values:
    columns = [
        _column(database, f"SELECT id, {name} FROM image", keys)
        for name in ("mpp_y", "mpp_x")
    ]
    return np.array(columns, np.float64).T.reshape(-1, 2)


def _write_file(database: sqlite3.Connection, keys: Keys, values: Values) -> None:
    rows = []
    for (size, time, digest), image_id in zip(
        values.tolist(), keys.tolist(), strict=True
    ):
        known = (int(size), int(time), digest) if digest else (None, None, None)
        rows.append((*known, image_id))
    database.executemany(
        "UPDATE image SET file_size = ?, file_mtime_ns = ?, file_digest = ? "
        "WHERE id = ?",
        rows,
    )


def _read_file(database: sqlite3.Connection, keys: Keys, _: Values) -> Values:
    columns = [
        _column(database, f"SELECT id, file_{name} FROM image", keys)
        for name in ("size", "mtime_ns", "digest")
    ]
    texts = [
        ["" if value is None else str(value) for value in row]
        for row in zip(*columns, strict=True)
    ]
    return np.array(texts, np.str_).reshape(-1, 3)


def _write_tissue(database: sqlite3.Connection, keys: Keys, values: Values) -> None:
    tissue.write(database, int(keys[0]), tissue.unpack_tissue(values))


def _read_tissue(database: sqlite3.Connection, keys: Keys, _: Values) -> Values:
    return tissue.pack_tissue(tissue.read(database, int(keys[0])))


def _column(database: sqlite3.Connection, select: str, keys: Keys) -> list[Any]:
    """Return a column of some rows in the order of their ids ``keys``."""
    found = dict(
        database.execute(
            f"{select} WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(keys.tolist()),),
        ).fetchall()
    )
    return [found[key] for key in keys.tolist()]


def _rows_as_dicts(
    database: sqlite3.Connection, table: str, column: str, value: int
) -> list[Row]:
    cursor = database.execute(
        f"SELECT * FROM {table} WHERE {column} = ? ORDER BY id", (value,)
    )
    names = [entry[0] for entry in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _insert(database: sqlite3.Connection, table: str, row: Row) -> None:
    columns = _COLUMNS[table]
    if row.keys() != set(columns):
        raise ValueError(f"columns of {table}")
    database.execute(
        f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) "
        f"VALUES ({', '.join('?' * len(columns))})",
        [row[name] for name in columns],
    )


def _setter(table: str, column: str) -> tuple[Write, Read]:
    def write(database: sqlite3.Connection, keys: Keys, values: Values) -> None:
        database.executemany(
            f"UPDATE {table} SET {column} = ? WHERE id = ?",
            zip(values.tolist(), keys.tolist(), strict=True),
        )

    def read(database: sqlite3.Connection, keys: Keys, like: Values) -> Values:
        found = _column(database, f"SELECT id, {column} FROM {table}", keys)
        return np.array(found, None if like.dtype.kind == "U" else like.dtype)

    return write, read


_GRID = ("source_id", "height", "width", "downsample")
_BOX_COLUMNS = "image_id, row, col, y, x, height, width, shown"
_COLUMNS = {
    "source": ("id", "kind", "path", "name", "tile_px", "stride_px", "mpp", "shown"),
    "image": (
        *("id", "source_id", "path", "height", "width", "mpp_y", "mpp_x"),
        *("downsample", "grp", "split", "file_size", "file_mtime_ns", "file_digest"),
        "bounds",
    ),
}
_KINDS: dict[PartKind, tuple[Write, Read]] = {
    "class": (_write_class, _read_class),
    "images": (_write_images, _read_images),
    "boxes": (_write_boxes, _read_boxes),
    "labels": (_write_labels, _read_labels),
    "plan": (_write_plan, _read_plan),
    "mask": (_write_mask, _read_mask),
    "mpp": (_write_mpp, _read_mpp),
    "file": (_write_file, _read_file),
    "tissue": (_write_tissue, _read_tissue),
    "source": _setter("source", "shown"),
    "split": _setter("image", "split"),
    "group": _setter("image", "grp"),
    "review": _setter("tile", "review"),
    "tiles": _setter("tile", "shown"),
}
