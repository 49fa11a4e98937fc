"""The tiles that changed since a revision, found through the journal."""

import json
import sqlite3

import numpy as np
import numpy.typing as npt

from segmix_core.project import journal
from segmix_core.project.edits import decode_labels, decode_reviews
from segmix_core.project.records import ChangeKind, TileChanges

MOST_ENTRIES = 2_000
MOST_TILES = 20_000
"""Beyond these, reading whole tables is as fast."""
_RESHAPING: frozenset[ChangeKind] = frozenset({"source", "tissue", "restore"})
"""Changes after which a source may have other tiles."""


def read(database: sqlite3.Connection, revision: int) -> TileChanges | None:
    """Return the tiles whose labels or reviews changed after a revision.

    Parameters
    ----------
    database
        A connection with a read transaction.
    revision
        A journal entry; 0 for the beginning.

    Returns
    -------
    TileChanges or None
        None if the whole table has to be read again: tiles were added, replaced or
        removed, the project was restored, the revision is from another journal, or too
        much has changed.
    """
    now = journal.next_id(database) - 1
    kinds = journal.kinds_after(database, revision)
    if now < revision or not _RESHAPING.isdisjoint(kinds):
        return None
    ids = np.zeros(0, np.int64)
    if not kinds.isdisjoint({"labels", "review"}):
        found = journal.tiles_after(database, revision, MOST_ENTRIES)
        if found is None or len(found) > MOST_TILES:
            return None
        ids = found
    (num_classes,) = database.execute("SELECT count(*) FROM class").fetchone()
    return _read_tiles(database, now, ids, num_classes)


def _read_tiles(
    database: sqlite3.Connection,
    revision: int,
    ids: npt.NDArray[np.int64],
    num_classes: int,
) -> TileChanges:
    rows = database.execute(
        "SELECT id, labels, review FROM tile "
        "WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
        (json.dumps(ids.tolist()),),
    ).fetchall()
    return TileChanges(
        revision,
        np.array([row[0] for row in rows], np.int64),
        decode_labels([row[1] for row in rows], num_classes),
        decode_reviews([row[2] for row in rows]),
    )
