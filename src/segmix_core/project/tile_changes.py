"""Which tiles changed since a revision, by the journal, and what is known of them."""

import json
import sqlite3

import numpy as np
import numpy.typing as npt

from segmix_core.project import journal
from segmix_core.project.edits import decode_labels
from segmix_core.project.records import ChangeKind, TileChanges

MOST_ENTRIES = 2_000
MOST_TILES = 20_000
"""Of more than these, reading whole tables takes no longer."""
_RESHAPING: frozenset[ChangeKind] = frozenset({"source", "tissue", "restore"})
"""Changes after which a source may have other tiles."""


def read(database: sqlite3.Connection, revision: int) -> TileChanges | None:
    """Return the tiles of which labels or reviews changed after a revision.

    Parameters
    ----------
    database
        A connection that sees one moment.
    revision
        A journal entry; 0 for the beginning.

    Returns
    -------
    TileChanges or None
        None where whole tables have to be read again: tiles were added, cut anew or
        removed, the project was restored, the revision is of another journal, or more
        changed than is worth reading one by one.
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
        np.array([row[2] for row in rows], np.int8),
    )
