"""A label that is set where it was seen: compared and set by one statement.

Labels are mostly given one by one, by a key, to tiles that a window shows. Reading what
the window shows already would double the time for which other programs wait.
"""

import sqlite3
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from segmix_core.project import journal
from segmix_core.project.drafts import draft_difference
from segmix_core.project.records import KEEP, Change, LabelState, TissueClass

States = npt.NDArray[np.int8]

# What a tile has never been asked for is not stored, and unknown.
_SWAP = """
    UPDATE tile SET labels = :after
    WHERE id = :tile AND shown
      AND labels = substr(:before, 1, length(labels))
      AND substr(:before, length(labels) + 1) = substr(:unknown, length(labels) + 1)
      AND (SELECT s.shown FROM image AS i JOIN source AS s ON s.id = i.source_id
           WHERE i.id = tile.image_id)
      AND (SELECT group_concat(idx || '+' || since)
           FROM (SELECT idx, since FROM class ORDER BY idx)) = :classes
    RETURNING image_id
"""


def swap_labels(
    database: sqlite3.Connection,
    tile_id: int,
    states: States,
    classes: Sequence[TissueClass],
    seen: States,
) -> Change | None:
    """Set the labels of a tile if it and the classes are as they were seen.

    Parameters
    ----------
    database
        Inside a transaction.
    tile_id
        The tile.
    states, seen
        (1, K) of LabelState, or KEEP in ``states``.
    classes
        The K classes as they were seen.

    Returns
    -------
    Change or None
        None if something differs or nothing would change: nothing was written, and
        what is stored has to be read.
    """
    wanted = np.where(states == KEEP, seen, states).astype(np.int8)
    fits = states.shape == seen.shape == (1, len(classes))
    if not fits or np.array_equal(wanted, seen):
        return None
    if not LabelState.UNKNOWN <= wanted.min() <= wanted.max() <= LabelState.PRESENT:
        return None
    found = database.execute(
        _SWAP,
        {
            "tile": tile_id,
            "before": seen.tobytes(),
            "after": wanted.tobytes(),
            "unknown": np.full_like(seen, LabelState.UNKNOWN).tobytes(),
            "classes": ",".join(f"{c.index}+{c.since}" for c in classes),
        },
    ).fetchall()
    if not found:
        return None
    ids, images = (np.array([value], np.int64) for value in (tile_id, found[0][0]))
    draft = draft_difference(ids, images, seen, wanted, classes)
    change = Change(0, "labels", draft.description, draft.image_ids)
    return journal.append(database, change, draft.parts)
