"""The journal: every change of the project, in order, never rewritten.

Undoing appends an entry that points at the entry it undoes. The edits of each scope
form a tree: ``parent`` is the edit of that scope that was in force before. An edit
after an undo starts a new branch; the old one stays in the file.
"""

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box
from segmix_core.project.opening import Row
from segmix_core.project.packing import DamagedError, Values, decoding, pack, unpack
from segmix_core.project.records import Change, ChangeKind, Scope, scope_of

Action = Literal["do", "undo", "redo"]
PartKind = Literal[
    "class",
    "source",
    "images",
    "boxes",
    "split",
    "group",
    "labels",
    "review",
    "tiles",
    "plan",
    "mask",
    "mpp",
    "file",
    "tissue",
]

_COLUMNS = "id, action, kind, description, image_ids, box"
_HEAD = (
    "SELECT CASE action WHEN 'undo' THEN parent ELSE target END FROM journal "
    "WHERE scope = ? ORDER BY id DESC LIMIT 1"
)
_INSERT = f"""
    INSERT INTO journal (id, target, time, action, parent, scope, kind, description,
                         image_ids, box)
    SELECT new.id, ifnull(?, new.id), ?, ?, ifnull(?, ifnull(({_HEAD}), 0)),
           ?, ?, ?, ?, ?
    FROM (SELECT ifnull(?, 1 + ifnull(max(id), 0)) AS id FROM journal) AS new
    RETURNING id
"""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One thing that changed: where (``keys``), from what, to what.

    Attributes
    ----------
    kind
        Determines what the keys are; see :mod:`segmix_core.project.edits`.
    keys
        (n,) int64.
    before, after
        Arrays in the form of the kind; storing ``before`` undoes the part.
    """

    kind: PartKind
    keys: npt.NDArray[np.int64]
    before: Values
    after: Values


def append(
    database: sqlite3.Connection, change: Change, parts: Sequence[Part]
) -> Change:
    """Append a change; return it with its id."""
    entry_id = _insert(database, "do", change)
    database.executemany(
        "INSERT INTO part (entry_id, kind, keys, before, after) VALUES (?,?,?,?,?)",
        [
            (entry_id, p.kind, pack(p.keys), pack(p.before), pack(p.after))
            for p in parts
        ],
    )
    return _with_id(change, entry_id)


def append_reversal(
    database: sqlite3.Connection, action: Literal["undo", "redo"], target: int
) -> Change:
    """Append the undo or redo of entry ``target``.

    Raises
    ------
    DamagedError
        If there is no such entry.
    """
    row = database.execute(
        f"SELECT {_COLUMNS}, parent FROM journal WHERE id = ?", (target,)
    ).fetchone()
    if row is None:
        raise DamagedError(f"journal entry {target} is missing")
    change = _change(row)
    entry_id = _insert(database, action, change, target=target, parent=row[-1])
    return _with_id(_described(change, action), entry_id)


def append_restore(
    database: sqlite3.Connection, entry_id: int, description: str
) -> None:
    """Append that the whole project was replaced; ``entry_id`` must be new."""
    change = Change(entry_id, "restore", description)
    _insert(database, "do", change, target=entry_id, parent=0, entry_id=entry_id)


def next_id(database: sqlite3.Connection) -> int:
    """Return the id that the next entry will have."""
    row = database.execute("SELECT 1 + ifnull(max(id), 0) FROM journal").fetchone()
    return int(row[0])


def head(database: sqlite3.Connection, scope: Scope) -> int:
    """Return the entry of a scope to undo next; 0 if there is none."""
    row = database.execute(_HEAD, (scope,)).fetchone()
    return int(row[0]) if row else 0


def parent_of(database: sqlite3.Connection, entry_id: int) -> int:
    """Return the entry of the same scope in force before this one; 0 if none."""
    row = database.execute(
        "SELECT parent FROM journal WHERE id = ?", (entry_id,)
    ).fetchone()
    parent = int(row[0]) if row else 0
    if parent >= entry_id:
        raise DamagedError(f"journal entry {entry_id}: its parent")
    return parent


def redo_target(database: sqlite3.Connection, scope: Scope) -> int:
    """Return the entry of a scope to redo next; 0 if there is none."""
    row = database.execute(
        "SELECT max(id) FROM journal WHERE action = 'do' AND scope = ? AND parent = ?",
        (scope, head(database, scope)),
    ).fetchone()
    return int(row[0] or 0)


def newest_to_undo(database: sqlite3.Connection) -> int:
    """Return the newest entry in force in any scope; 0 if there is none."""
    return max(head(database, scope) for scope in get_args(Scope))


def oldest_to_redo(database: sqlite3.Connection) -> int:
    """Return the oldest entry that any scope can redo; 0 if there is none."""
    found = [redo_target(database, scope) for scope in get_args(Scope)]
    return min(filter(None, found), default=0)


def parts_of(database: sqlite3.Connection, entry_id: int) -> tuple[Part, ...]:
    """Return the parts of a 'do' entry, in the order they were applied."""
    rows = database.execute(
        "SELECT kind, keys, before, after FROM part WHERE entry_id = ? ORDER BY id",
        (entry_id,),
    )
    return tuple(
        Part(_part_kind(kind), unpack(keys), unpack(before), unpack(after))
        for kind, keys, before, after in rows
    )


def last_entry(database: sqlite3.Connection, kind: ChangeKind) -> int:
    """Return the newest entry of a kind, including undos; 0 if there is none."""
    row = database.execute(
        "SELECT max(id) FROM journal WHERE kind IN (?, 'restore')", (kind,)
    ).fetchone()
    return int(row[0] or 0)


def changes_after(
    database: sqlite3.Connection, kind: ChangeKind, entry_id: int
) -> tuple[Change, ...]:
    """Return the entries of a kind after an entry, oldest first."""
    rows = database.execute(
        f"SELECT {_COLUMNS} FROM journal WHERE kind = ? AND id > ? ORDER BY id",
        (kind, entry_id),
    )
    return tuple(_described(_change(row), row[1]) for row in rows)


def kinds_after(database: sqlite3.Connection, entry_id: int) -> frozenset[str]:
    """Return the kinds of the entries after an entry."""
    rows = database.execute(
        "SELECT DISTINCT kind FROM journal WHERE id > ?", (entry_id,)
    )
    return frozenset(kind for (kind,) in rows)


def tiles_after(
    database: sqlite3.Connection, entry_id: int, most: int
) -> npt.NDArray[np.int64] | None:
    """Return the tiles whose labels or reviews changed after an entry.

    (n,) ids, ascending. None if there are more than ``most`` changes, or one of them
    cannot be read.
    """
    rows = database.execute(
        "SELECT DISTINCT part.id, part.keys FROM journal "
        "JOIN part ON part.entry_id = journal.target "
        "WHERE journal.id > ? AND part.kind IN ('labels', 'review') LIMIT ?",
        (entry_id, most + 1),
    ).fetchall()
    if len(rows) > most:
        return None
    try:
        keys = [unpack(content) for _, content in rows]
        with decoding("tiles of a journal entry"):
            found = np.concatenate([np.zeros(0, np.int64), *keys])
            return np.unique(found.astype(np.int64, casting="safe"))
    except DamagedError:
        return None


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
    target: int | None = None,
    parent: int | None = None,
    entry_id: int | None = None,
) -> int:
    """Insert an entry and return its id: the next one, where none is given.

    ``target`` None is the entry itself; ``parent`` None the one in force in its scope.
    """
    box = change.box
    scope = "" if change.kind == "restore" else scope_of(change.kind)
    values = (
        *(target, time.time(), action, parent, scope),
        *(scope, change.kind, change.description, json.dumps(change.image_ids)),
        None if box is None else json.dumps([box.y, box.x, box.height, box.width]),
        entry_id,
    )
    ((new_id,),) = database.execute(_INSERT, values).fetchall()
    return int(new_id)


def _change(row: Row) -> Change:
    entry_id, _, kind, description, image_ids, box = row[:6]
    with decoding(f"journal entry {entry_id}"):
        if kind not in get_args(ChangeKind):
            raise ValueError(f"unknown kind {kind!r}")
        return Change(
            id=entry_id,
            kind=cast("ChangeKind", kind),
            description=description,
            image_ids=tuple(int(i) for i in json.loads(image_ids)),
            box=None if box is None else Box(*(int(v) for v in json.loads(box))),
        )


def _part_kind(text: str) -> PartKind:
    with decoding("a journal entry"):
        if text not in get_args(PartKind):
            raise ValueError(f"unknown kind {text!r}")
    return cast("PartKind", text)


def _with_id(change: Change, entry_id: int) -> Change:
    return Change(
        entry_id, change.kind, change.description, change.image_ids, change.box
    )


def _described(change: Change, action: Action) -> Change:
    with decoding(f"journal entry {change.id}"):
        prefix = {"do": "", "undo": "Undid: ", "redo": "Redid: "}[action]
    text = prefix + change.description
    return Change(change.id, change.kind, text, change.image_ids, change.box)
