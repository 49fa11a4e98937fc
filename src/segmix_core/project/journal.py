"""The journal: every change of the project, in order, never rewritten.

Undoing appends an entry that points at what it undoes. Entries that did something form
a tree: each knows the one in force before it (``parent``). An edit after an undo opens
a new branch; the old one stays in the file.
"""

import io
import json
import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box
from segmix_core.project.database import Row
from segmix_core.project.records import Change, ChangeKind

Action = Literal["do", "undo", "redo"]
PartKind = Literal[
    "class", "source", "split", "group", "labels", "review", "tiles", "plan", "mask"
]
Values = npt.NDArray[Any]
"""Numbers or text; the shape belongs to the kind of part."""

_COLUMNS = "id, action, kind, description, image_ids, box"


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One thing that changed: where (``keys``), from what, to what.

    Attributes
    ----------
    kind
        Says what the keys are; see :mod:`segmix_core.project.edits`.
    keys
        (n,) int64.
    before, after
        Arrays as the kind wants them; applying ``before`` undoes the part.
    """

    kind: PartKind
    keys: npt.NDArray[np.int64]
    before: Values
    after: Values


def append(
    database: sqlite3.Connection, change: Change, parts: Sequence[Part]
) -> Change:
    """Append what was done; return ``change`` with its id."""
    entry_id = _insert(database, "do", change, target=None, parent=head(database))
    database.executemany(
        "INSERT INTO part (entry_id, kind, keys, before, after) VALUES (?,?,?,?,?)",
        [
            (entry_id, p.kind, _pack(p.keys), _pack(p.before), _pack(p.after))
            for p in parts
        ],
    )
    return _with_id(change, entry_id)


def append_reversal(
    database: sqlite3.Connection, action: Literal["undo", "redo"], target: int
) -> Change:
    """Append that entry ``target`` is undone or done again."""
    row = database.execute(
        f"SELECT {_COLUMNS}, parent FROM journal WHERE id = ?", (target,)
    ).fetchone()
    change = _change(row)
    entry_id = _insert(database, action, change, target=target, parent=row[-1])
    return _with_id(_described(change, action), entry_id)


def head(database: sqlite3.Connection) -> int:
    """Return the entry in force, the one to undo next; 0 if there is none."""
    row = database.execute(
        "SELECT CASE action WHEN 'undo' THEN parent ELSE target END FROM journal "
        "ORDER BY id DESC LIMIT 1"
    ).fetchone()
    return int(row[0]) if row else 0


def redo_target(database: sqlite3.Connection) -> int:
    """Return the entry to do again next; 0 if there is none."""
    row = database.execute(
        "SELECT max(id) FROM journal WHERE action = 'do' AND parent = ?",
        (head(database),),
    ).fetchone()
    return int(row[0] or 0)


def parts_of(database: sqlite3.Connection, entry_id: int) -> tuple[Part, ...]:
    """Return the parts of a 'do' entry, in the order they were applied."""
    rows = database.execute(
        "SELECT kind, keys, before, after FROM part WHERE entry_id = ? ORDER BY id",
        (entry_id,),
    )
    return tuple(
        Part(kind, _unpack(keys), _unpack(before), _unpack(after))
        for kind, keys, before, after in rows
    )


def last_entry(database: sqlite3.Connection, kind: ChangeKind) -> int:
    """Return the newest entry of a kind, also one that undoes; 0 if there is none."""
    row = database.execute(
        "SELECT max(id) FROM journal WHERE kind = ?", (kind,)
    ).fetchone()
    return int(row[0] or 0)


def mask_steps(
    database: sqlite3.Connection, after: int
) -> Iterator[tuple[npt.NDArray[np.int64], Values]]:
    """Yield key and new pixels of each mask change after entry ``after``, in order."""
    entries = database.execute(
        "SELECT action, target FROM journal WHERE kind = 'mask' AND id > ? ORDER BY id",
        (after,),
    ).fetchall()
    for action, target in entries:
        for part in parts_of(database, target):
            yield part.keys, part.before if action == "undo" else part.after


def mask_keys(database: sqlite3.Connection) -> list[npt.NDArray[np.int64]]:
    """Return the keys of all mask changes ever made, undone ones as well."""
    rows = database.execute("SELECT keys FROM part WHERE kind = 'mask'")
    return [_unpack(keys) for (keys,) in rows]


def class_steps(
    database: sqlite3.Connection,
) -> Iterator[tuple[int, Values, Values]]:
    """Yield index, old and new content of each change of a class, in order."""
    entries = database.execute(
        "SELECT action, target FROM journal WHERE kind = 'class' ORDER BY id"
    ).fetchall()
    for action, target in entries:
        for part in parts_of(database, target):
            old, new = part.before, part.after
            yield (
                int(part.keys[0]),
                *((new, old) if action == "undo" else (old, new)),
            )


def history(database: sqlite3.Connection, limit: int) -> tuple[Change, ...]:
    """Return the last ``limit`` entries, newest first."""
    rows = database.execute(
        f"SELECT {_COLUMNS} FROM journal ORDER BY id DESC LIMIT ?", (limit,)
    )
    return tuple(_described(_change(row), row[1]) for row in rows)


def _insert(
    database: sqlite3.Connection,
    action: Action,
    change: Change,
    *,
    target: int | None,
    parent: int,
) -> int:
    box = change.box
    content = (
        time.time(),
        action,
        parent,
        change.kind,
        change.description,
        json.dumps(change.image_ids),
        None if box is None else json.dumps([box.y, box.x, box.height, box.width]),
    )
    new_id = database.execute("SELECT 1 + ifnull(max(id), 0) FROM journal").fetchone()
    entry_id = int(new_id[0])
    database.execute(
        "INSERT INTO journal (id, target, time, action, parent, kind, description, "
        "image_ids, box) VALUES (?,?,?,?,?,?,?,?,?)",
        (entry_id, entry_id if target is None else target, *content),
    )
    return entry_id


def _change(row: Row) -> Change:
    entry_id, _, kind, description, image_ids, box = row[:6]
    return Change(
        id=entry_id,
        kind=cast("ChangeKind", kind),
        description=description,
        image_ids=tuple(json.loads(image_ids)),
        box=None if box is None else Box(*json.loads(box)),
    )


def _with_id(change: Change, entry_id: int) -> Change:
    return Change(
        entry_id, change.kind, change.description, change.image_ids, change.box
    )


def _described(change: Change, action: Action) -> Change:
    prefix = {"do": "", "undo": "Undid: ", "redo": "Did again: "}[action]
    text = prefix + change.description
    return Change(change.id, change.kind, text, change.image_ids, change.box)


def _pack(values: Values) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(values), allow_pickle=False)
    return zlib.compress(buffer.getvalue(), 1)


def _unpack(content: bytes) -> Values:
    values: Values = np.load(io.BytesIO(zlib.decompress(content)), allow_pickle=False)
    return values
