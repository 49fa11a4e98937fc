"""What each kind of change does to the tables.

=========  =========================  ==============================================
kind       keys                       before, after
=========  =========================  ==============================================
class      [index]                    (2,) text: name, colour; (0,) where absent
source     [source id]                (1,) uint8: shown or not
split      (n,) image ids             (n,) text
group      (n,) image ids             (n,) text
labels     (n,) tile ids              (n, C) int8 of LabelState
review     (n,) tile ids              (n,) int8 of Review
tiles      (n,) tile ids              (n,) uint8: shown or not
plan       [source id]                (2,) int64: tile_px, stride_px
mask       [image id, y, x, h, w]     (h, w) uint8 on the working grid
=========  =========================  ==============================================
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmix_core.project.journal import Part, PartKind, Values

_UNKNOWN_BYTE = b"\xff"
"""LabelState.UNKNOWN as int8."""


@dataclass(frozen=True, slots=True, eq=False)
class TileStates:
    """Some tiles as they are now, in the order they were asked for.

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


def apply(database: sqlite3.Connection, parts: Sequence[Part]) -> None:
    """Put the parts into force. Mask pixels are not in the tables and are skipped."""
    for part in parts:
        if part.kind != "mask":
            _APPLY[part.kind](database, part.keys, part.after)


def reverse(database: sqlite3.Connection, parts: Sequence[Part]) -> None:
    """Take the parts back, last one first."""
    for part in reversed(parts):
        if part.kind != "mask":
            _APPLY[part.kind](database, part.keys, part.before)


def decode_labels(blobs: Sequence[bytes], num_classes: int) -> npt.NDArray[np.int8]:
    """Return (n, C) int8; classes that a tile has never been asked for are unknown."""
    if set(map(len, blobs)) - {num_classes}:
        blobs = [b.ljust(num_classes, _UNKNOWN_BYTE)[:num_classes] for b in blobs]
    flat = np.frombuffer(b"".join(blobs), np.int8)
    return flat.reshape(len(blobs), num_classes).copy()


def tile_states(
    database: sqlite3.Connection, tile_ids: npt.NDArray[np.int64], num_classes: int
) -> TileStates:
    """Read the labels and reviews of some tiles.

    Raises
    ------
    ValueError
        If an id is unknown or comes twice.
    """
    rows = database.execute(
        "SELECT t.id, t.labels, t.review, t.image_id FROM json_each(?) AS wanted "
        "JOIN tile AS t ON t.id = wanted.value JOIN image AS i ON i.id = t.image_id "
        "JOIN source AS s ON s.id = i.source_id WHERE t.shown AND s.shown",
        (json.dumps(tile_ids.tolist()),),
    ).fetchall()
    found = {row[0]: row for row in rows}
    if len(found) != len(tile_ids):
        wrong = sorted({int(i) for i in tile_ids} - found.keys())[:3]
        raise ValueError(f"Expected different known tiles; unknown: {wrong or 'none'}")
    ordered = [found[int(i)] for i in tile_ids]
    return TileStates(
        decode_labels([row[1] for row in ordered], num_classes),
        np.array([row[2] for row in ordered], np.int8),
        np.array([row[3] for row in ordered], np.int64),
    )


def _apply_class(
    database: sqlite3.Connection, keys: npt.NDArray[np.int64], values: Values
) -> None:
    index = int(keys[0])
    if not len(values):
        database.execute("DELETE FROM class WHERE idx = ?", (index,))
        return
    name, color = (str(text) for text in values)
    database.execute(
        "INSERT INTO class (idx, name, color) VALUES (?,?,?) "
        "ON CONFLICT (idx) DO UPDATE SET name = excluded.name, color = excluded.color",
        (index, name, color),
    )


def _apply_labels(
    database: sqlite3.Connection, keys: npt.NDArray[np.int64], values: Values
) -> None:
    rows = zip((row.tobytes() for row in values), keys.tolist(), strict=True)
    database.executemany("UPDATE tile SET labels = ? WHERE id = ?", rows)


def _apply_plan(
    database: sqlite3.Connection, keys: npt.NDArray[np.int64], values: Values
) -> None:
    database.execute(
        "UPDATE source SET tile_px = ?, stride_px = ? WHERE id = ?",
        (*values.tolist(), int(keys[0])),
    )


def _setter(
    statement: str,
) -> Callable[[sqlite3.Connection, npt.NDArray[np.int64], Values], None]:
    def apply_values(
        database: sqlite3.Connection, keys: npt.NDArray[np.int64], values: Values
    ) -> None:
        database.executemany(
            statement, zip(values.tolist(), keys.tolist(), strict=True)
        )

    return apply_values


_APPLY: dict[
    PartKind, Callable[[sqlite3.Connection, npt.NDArray[np.int64], Values], None]
] = {
    "class": _apply_class,
    "labels": _apply_labels,
    "plan": _apply_plan,
    "source": _setter("UPDATE source SET shown = ? WHERE id = ?"),
    "split": _setter("UPDATE image SET split = ? WHERE id = ?"),
    "group": _setter("UPDATE image SET grp = ? WHERE id = ?"),
    "review": _setter("UPDATE tile SET review = ? WHERE id = ?"),
    "tiles": _setter("UPDATE tile SET shown = ? WHERE id = ?"),
}
