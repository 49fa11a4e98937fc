"""The tiles of the open project in memory, labels and their counts up to date."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_segmix.model.label_edits import LabelCounts, States, count_labels, merged
from segmix_core.project.records import LabelState, TileChanges, TileTable


class TileTables:
    """Tile tables by source, read when first asked for, then kept up to date.

    A table is a value: who keeps one can compare its labels with those of a later one.

    Parameters
    ----------
    read
        Reads the table of a source from the store.
    revision
        Returns the last journal entry.
    changes
        Returns the tiles that changed after a journal entry; None where tables have to
        be read again.
    """

    def __init__(
        self,
        read: Callable[[int], TileTable],
        revision: Callable[[], int],
        changes: Callable[[int], TileChanges | None],
    ) -> None:
        self._read = read
        self._last_entry = revision
        self._changes = changes
        self._tables: dict[int, TileTable] = {}
        self._counts: dict[int, LabelCounts] = {}
        # No table is older than this entry; some are newer, and reading what they have
        # already once more does no harm.
        self._revision = 0

    def get(self, source_id: int) -> TileTable:
        """Return the tiles of a source."""
        if source_id not in self._tables:
            if not self._tables:
                self._revision = self._last_entry()
            self._tables[source_id] = self._read(source_id)
        return self._tables[source_id]

    def put_labels(
        self, source_id: int, rows: npt.NDArray[np.int64], states: States
    ) -> None:
        """Note an edit that was stored: (n, C) for (n,) rows of a source's table."""
        self._put(source_id, rows, merged(self.get(source_id).labels[rows], states))

    def catch_up(self) -> None:
        """Take what the tiles are now from the store, whoever changed them."""
        if not self._tables:
            return
        changes = self._changes(self._revision)
        if changes is None:
            self.forget()
            return
        for source_id, table in tuple(self._tables.items()):
            rows, places = rows_of(table, changes.ids)
            now = fitted_labels(changes.labels[places], table.labels.shape[1])
            self._put(source_id, rows, now)
        self._revision = changes.revision

    def forget(self) -> None:
        """Read all tables again when they are next asked for."""
        self._tables.clear()
        self._counts.clear()

    def count(self, source_ids: Sequence[int], num_classes: int) -> LabelCounts:
        """Count the labels of some sources together."""
        none = count_labels(np.zeros((0, num_classes), np.int8))
        return sum(map(self._count, source_ids), none)

    def _count(self, source_id: int) -> LabelCounts:
        labels = self.get(source_id).labels
        if source_id not in self._counts:
            self._counts[source_id] = count_labels(labels)
        return self._counts[source_id]

    def _put(self, source_id: int, rows: npt.NDArray[np.int64], now: States) -> None:
        """Set labels of a table, (n, C); it stays the same if none is different."""
        table = self._tables[source_id]
        before = table.labels[rows]
        if np.array_equal(before, now):
            return
        labels = table.labels.copy()
        labels[rows] = now
        self._tables[source_id] = replace(table, labels=labels)
        if source_id in self._counts:
            self._counts[source_id] += count_labels(now) - count_labels(before)


def fitted(table: TileTable, num_classes: int) -> TileTable:
    """Return a table with a column for each of C classes.

    A class that another program has just added or taken back is not shown yet, or
    still: it is left out, or unknown.
    """
    return replace(table, labels=fitted_labels(table.labels, num_classes))


def fitted_labels(labels: States, num_classes: int) -> States:
    """Return labels (n, K) with a column for each of C classes, as :func:`fitted`."""
    result = np.full((len(labels), num_classes), LabelState.UNKNOWN, np.int8)
    count = min(num_classes, labels.shape[1])
    result[:, :count] = labels[:, :count]
    return result


def rows_of(
    tiles: TileTable, tile_ids: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return rows of the table and places in ``tile_ids`` of the tiles in both."""
    order = np.argsort(tiles.ids)
    places = np.searchsorted(tiles.ids[order], tile_ids)
    inside = np.minimum(places, max(len(order) - 1, 0))
    found = np.zeros(len(tile_ids), bool)
    if len(order):
        found = tiles.ids[order][inside] == tile_ids
    kept = np.flatnonzero(found)
    return order[inside[kept]], kept
