"""Bring a project of format 1 to format 2.

Format 1 kept corrected pixels in arrays beside the database, had a single undo history,
and did not journal the rows of images and tiles. The conversion is one transaction; the
original file is kept among the snapshots.
"""

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segmix_core.project import chunks, edits, journal
from segmix_core.project.journal import Part
from segmix_core.project.opening import check_application, schema_script
from segmix_core.project.packing import Values, decoding, pack, unpack
from segmix_core.project.records import INITIAL_CLASSES, scope_of
from segmix_core.project.snapshots import copy_database, snapshot_folder

_MOST_SQUARES = 1000
"""Most squares in memory: 256 MB."""
_TABLES = ("class", "source", "image", "tile", "journal", "part", "setting")
_COPIES = {
    "source": "SELECT id, kind, path, name, tile_px, stride_px, mpp, shown FROM",
    "image": "SELECT id, source_id, path, height, width, mpp, mpp, downsample, grp, "
    "split, NULL, NULL, NULL, NULL FROM",
    "tile": "SELECT id, image_id, row, col, y, x, height, width, labels, review, "
    "shown FROM",
    "setting": "SELECT key, value FROM",
}


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Convert the project that ``connection`` has open to the current format.

    Raises
    ------
    DamagedError
        If the journal cannot be read; then nothing has changed.
    sqlite3.Error
        If the file cannot be written; then nothing has changed.
    """
    name = f"format-1-{time.strftime('%Y%m%d-%H%M%S')}.sqlite"
    copy_database(connection, snapshot_folder(path.parent) / name)
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("PRAGMA legacy_alter_table = ON")
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another program may have converted it already.
        if check_application(connection, path) == 1:
            _rewrite(connection)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    # The pixels are in the database now, and in the backup's journal.
    shutil.rmtree(path.parent / "masks", ignore_errors=True)


def _rewrite(connection: sqlite3.Connection) -> None:
    indexes = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall()
    for (name,) in indexes:
        connection.execute(f'DROP INDEX "{name}"')
    for table in _TABLES:
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for statement in _statements(schema_script()):
        connection.execute(statement)
    for table, select in _COPIES.items():
        connection.execute(f"INSERT INTO {table} {select} old_{table}")
    _copy_journal(connection)
    _copy_parts(connection)
    _write_chunks(connection)
    for table in reversed(_TABLES):
        connection.execute(f"DROP TABLE old_{table}")


def _copy_journal(connection: sqlite3.Connection) -> None:
    """Copy the entries; each scope gets its own undo history."""
    head = {"labels": 0, "masks": 0}
    parents: dict[int, int] = {}
    rows = connection.execute(
        "SELECT id, time, action, target, kind, description, image_ids, box "
        "FROM old_journal ORDER BY id"
    ).fetchall()
    with decoding("the journal"):
        for entry_id, moment, action, target, kind, *rest in rows:
            scope = scope_of(kind)
            if action == "do":
                parents[entry_id] = head[scope]
            head[scope] = parents[target] if action == "undo" else target
            connection.execute(
                "INSERT INTO journal VALUES (?,?,?,?,?,?,?,?,?,?)",
                (
                    *(entry_id, moment, action, target, parents[target], scope),
                    *(kind, *rest),
                ),
            )


def _copy_parts(connection: sqlite3.Connection) -> None:
    """Copy the parts in order, and add the rows of images and tiles."""
    parts = connection.execute(
        "SELECT entry_id, kind, keys, before, after FROM old_part ORDER BY id"
    )
    later = _windows(connection)
    since: dict[int, int] = {}
    first: dict[int, Values] = {}
    number = 0
    for entry_id, kind, *contents in parts:
        keys, before, after = map(unpack, contents)
        found = [Part(kind, keys, before, after)]
        if kind == "source":
            found = [*_added_rows(connection, int(keys[0]), later), *found]
        elif kind == "tiles":
            new = keys[np.isin(keys, list(later)) & (after == 1)]
            found = [_boxes(connection, new, shown=0), *found]
        elif kind == "class":
            index = int(keys[0])
            if not len(before):
                since[index] = entry_id
            elif index not in since:
                first.setdefault(index, before)
            known = str(since.get(index, 0))
            found = [
                Part(kind, keys, *(_with_since(v, known) for v in (before, after)))
            ]
        for part in found:
            number += 1
            connection.execute(
                "INSERT INTO part (id, entry_id, kind, keys, before, after) "
                "VALUES (?,?,?,?,?,?)",
                (
                    *(number, entry_id, part.kind),
                    *map(pack, (part.keys, part.before, part.after)),
                ),
            )
    connection.executemany(
        "INSERT INTO class (idx, name, color, since) VALUES (?,?,?,?)",
        [
            (index, name, color, since.get(index, 0))
            for index, name, color in connection.execute(
                "SELECT idx, name, color FROM old_class ORDER BY idx"
            ).fetchall()
        ],
    )
    _note_initial_classes(connection, since, first)


def _note_initial_classes(
    connection: sqlite3.Connection, since: dict[int, int], first: dict[int, Values]
) -> None:
    """Store the classes that the project was created with."""
    rows = connection.execute("SELECT idx, name, color FROM class ORDER BY idx")
    initial = [
        [str(text) for text in first.get(index, [name, color])][:2]
        for index, name, color in rows
        if index not in since
    ]
    connection.execute(
        "INSERT OR REPLACE INTO setting VALUES (?,?)",
        (INITIAL_CLASSES, json.dumps(initial)),
    )


def _windows(connection: sqlite3.Connection) -> set[int]:
    """Return the tiles created by window imports, which start hidden."""
    new: set[int] = set()
    parts = connection.execute("SELECT keys, before FROM old_part WHERE kind = 'tiles'")
    for keys, before in parts:
        new |= set(unpack(keys)[unpack(before) == 0].tolist())
    return new


def _added_rows(
    connection: sqlite3.Connection, source_id: int, later: set[int]
) -> list[Part]:
    key = np.array([source_id], np.int64)
    rows = edits.image_rows(connection, source_id)
    ids = [
        tile_id
        for (tile_id,) in connection.execute(
            "SELECT t.id FROM tile AS t JOIN image AS i ON i.id = t.image_id "
            "WHERE i.source_id = ? ORDER BY t.id",
            (source_id,),
        )
        if tile_id not in later
    ]
    boxes = _boxes(connection, np.array(ids, np.int64), shown=1)
    return [Part("images", key, np.zeros(0, np.uint8), rows), boxes]


def _boxes(
    connection: sqlite3.Connection, tile_ids: npt.NDArray[np.int64], *, shown: int
) -> Part:
    ids = np.sort(tile_ids)
    rows = connection.execute(
        "SELECT image_id, row, col, y, x, height, width, ? FROM json_each(?) AS wanted "
        "JOIN tile AS t ON t.id = wanted.value ORDER BY t.id",
        (shown, json.dumps(ids.tolist())),
    ).fetchall()
    boxes = np.array(rows, np.int64).reshape(-1, 8)
    return Part("boxes", ids, np.zeros((0, 8), np.int64), boxes)


def _with_since(content: Values, since: str) -> Values:
    return np.array([*content, since]) if len(content) else content


def _write_chunks(connection: sqlite3.Connection) -> None:
    """Draw every mask change of the journal, in its order, into the squares."""
    canvas: dict[tuple[int, int, int], chunks.MaskArray] = {}

    def store() -> None:
        for (image_id, row, col), pixels in canvas.items():
            chunks.write_square(connection, image_id, row, col, pixels)
        canvas.clear()

    entries = connection.execute(
        "SELECT action, target FROM journal WHERE kind = 'mask' ORDER BY id"
    ).fetchall()
    for action, target in entries:
        for part in journal.parts_of(connection, target):
            image_id, box = chunks.from_mask_key(part.keys)
            values = part.before if action == "undo" else part.after
            if len(canvas) > _MOST_SQUARES:
                store()
            chunks.load(connection, canvas, image_id, box)
            chunks.paste(canvas, image_id, box, values)
    store()


def _statements(script: str) -> Iterator[str]:
    """Yield the statements of a script; executescript would commit first."""
    waiting = ""
    for line in script.splitlines(keepends=True):
        waiting += line
        if sqlite3.complete_statement(waiting):
            yield waiting
            waiting = ""
