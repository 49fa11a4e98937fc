"""The tiles of the open project in memory, labels up to date."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_segmix.label_edits import LabelCounts, States, count_labels, merged
from segmix_core.project.records import LabelState, TileTable


class TileTables:
    """Tile tables by source, read when first asked for.

    Parameters
    ----------
    read
        Reads the table of a source from the store.
    """

    def __init__(self, read: Callable[[int], TileTable]) -> None:
        self._read = read
        self._tables: dict[int, TileTable] = {}

    def get(self, source_id: int) -> TileTable:
        """Return the tiles of a source."""
        if source_id not in self._tables:
            self._tables[source_id] = self._read(source_id)
        return self._tables[source_id]

    def put_labels(
        self, source_id: int, rows: npt.NDArray[np.int64], states: States
    ) -> None:
        """Note an edit that was stored: (n, C) for (n,) rows of a source's table."""
        table = self.get(source_id)
        labels = table.labels.copy()
        labels[rows] = merged(labels[rows], states)
        self._tables[source_id] = replace(table, labels=labels)

    def forget(self, image_ids: Sequence[int] | None = None) -> None:
        """Read tables again when they are next asked for.

        ``image_ids`` are those whose tiles changed; None: all.
        """
        if image_ids is None:
            self._tables.clear()
            return
        for source_id, table in tuple(self._tables.items()):
            if np.isin(table.image_ids, image_ids).any():
                del self._tables[source_id]

    def count(self, source_ids: Sequence[int], num_classes: int) -> LabelCounts:
        """Count the labels of some sources together."""
        empty = np.zeros((0, num_classes), np.int8)
        return count_labels(
            np.concatenate([empty, *(self.get(i).labels for i in source_ids)])
        )


def fitted(table: TileTable, num_classes: int) -> TileTable:
    """Return a table with a column for each of C classes.

    A class that another program has just added or taken back is not shown yet, or
    still: it is left out, or unknown.
    """
    labels = np.full((len(table), num_classes), LabelState.UNKNOWN, np.int8)
    count = min(num_classes, table.labels.shape[1])
    labels[:, :count] = table.labels[:, :count]
    return replace(table, labels=labels)


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
