"""The tiles of the open project in memory, labels up to date."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_segmix.label_edits import LabelCounts, States, count_labels, merged
from segmix_core.project.records import TileTable


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

    def forget(self) -> None:
        """Read everything again when it is next asked for."""
        self._tables.clear()

    def count(self, source_ids: Sequence[int], num_classes: int) -> LabelCounts:
        """Count the labels of some sources together."""
        empty = np.zeros((0, num_classes), np.int8)
        return count_labels(
            np.concatenate([empty, *(self.get(i).labels for i in source_ids)])
        )
