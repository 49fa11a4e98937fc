"""Tables and counts that follow edits give what reading everything again gives."""

from dataclasses import replace

import numpy as np
import pytest

from napari_segmix.model.label_edits import count_labels
from napari_segmix.model.tile_tables import TileTables, fitted
from segmix_core.project.records import KEEP, TileChanges, TileTable

TILES, CLASSES = 30, 3


class Stored:
    """Tiles of two sources that somebody else changes, too."""

    def __init__(self) -> None:
        self.revision = 0
        self.changed: list[tuple[int, int]] = []
        self.labels = np.full((TILES, CLASSES), -1, np.int8)
        self.reads = 0

    def read(self, source_id: int) -> TileTable:
        self.reads += 1
        rows = np.arange(TILES)[source_id % 2 :: 2]
        zeros = np.zeros(len(rows), np.int64)
        boxes = np.zeros((len(rows), 4), np.int64)
        labels = self.labels[rows].copy()
        reviews = zeros.astype(np.int8)
        return TileTable(rows, zeros + source_id, zeros, zeros, boxes, labels, reviews)

    def set(self, row: int, states: np.ndarray) -> None:
        self.revision += 1
        self.labels[row] = np.where(states == KEEP, self.labels[row], states)
        self.changed.append((self.revision, row))

    def changes(self, revision: int) -> TileChanges | None:
        rows = sorted({row for entry, row in self.changed if entry > revision})
        ids = np.array(rows, np.int64)
        reviews = np.zeros(len(ids), np.int8)
        return TileChanges(self.revision, ids, self.labels[ids], reviews)


@pytest.mark.parametrize("seed", range(5))
def test_edits_of_any_program_are_followed(seed: int) -> None:
    stored, chance = Stored(), np.random.default_rng(seed)
    tables = TileTables(stored.read, lambda: stored.revision, stored.changes)
    for _ in range(60):
        row, source = int(chance.integers(TILES)), 0
        states = chance.integers(-2, 2, CLASSES).astype(np.int8)
        source = row % 2
        is_own = chance.random() < 0.5
        if is_own:
            tables.get(source)
        stored.set(row, states)
        if is_own:
            tables.put_labels(source, np.array([row // 2]), states[None])
        else:
            tables.catch_up()
        if chance.random() < 0.3:
            tables.catch_up()
            assert tables.count([0, 1], CLASSES) == count_labels(stored.labels)
            assert tables.count([1], CLASSES) == count_labels(stored.labels[1::2])
    tables.catch_up()
    for source in (0, 1):
        labels = tables.get(source).labels
        assert np.array_equal(labels, stored.labels[source::2])
    assert stored.reads == 2


def test_an_edit_leaves_the_table_that_somebody_keeps() -> None:
    stored = Stored()
    tables = TileTables(stored.read, lambda: stored.revision, stored.changes)
    kept = tables.get(0)
    tables.put_labels(0, np.array([1]), np.array([[1, KEEP, 0]], np.int8))
    assert (kept.labels == -1).all()
    assert tables.get(0).labels[1].tolist() == [1, -1, 0]
    same = tables.get(0)
    tables.put_labels(0, np.array([1]), np.array([[1, KEEP, KEEP]], np.int8))
    assert tables.get(0) is same


def test_tables_fit_the_classes_that_are_shown() -> None:
    table = Stored().read(0)
    known = replace(table, labels=np.ones_like(table.labels))
    assert fitted(known, 2).labels.shape == (TILES // 2, 2)
    wider = fitted(known, 4).labels
    assert (wider[:, :3] == 1).all()
    assert (wider[:, 3] == -1).all()
