"""What changed since a revision: always what reading everything again would show."""

import sqlite3
import tempfile
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from segmix_core.project import tile_changes
from segmix_core.project.packing import pack
from segmix_core.project.records import (
    LabelState,
    Review,
    TileChanges,
    TileTable,
)
from segmix_core.project.store import ProjectStore
from tests.core.project.conftest import add_slide
from tests.core.project.random_edits import EDITS, OFTEN, make_edit

PRESENT, ABSENT = LabelState.PRESENT, LabelState.ABSENT
_drawn = st.tuples(st.sampled_from([*EDITS, *OFTEN]), st.integers(0, 2**32 - 1))


def after(table: TileTable, changes: TileChanges) -> TileTable:
    """Return a table as it is after changes, tile by tile; the slow twin."""
    labels = np.full((len(table), changes.labels.shape[1]), -1, np.int8)
    width = min(labels.shape[1], table.labels.shape[1])
    labels[:, :width] = table.labels[:, :width]
    reviews, rows = table.reviews.copy(), table.ids.tolist()
    for place, tile_id in enumerate(changes.ids.tolist()):
        row = rows.index(tile_id)
        labels[row], reviews[row] = changes.labels[place], changes.reviews[place]
    return replace(table, labels=labels, reviews=reviews)


def same(one: TileTable, two: TileTable) -> bool:
    names = TileTable.__dataclass_fields__
    return all(np.array_equal(getattr(one, n), getattr(two, n)) for n in names)


@settings(max_examples=40, deadline=None)
@given(st.lists(_drawn, min_size=1, max_size=25))
def test_it_is_what_reading_again_shows(edits: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p"
        with (
            ProjectStore.create(path, ["a", "b"]) as store,
            ProjectStore.open(path) as other,
        ):
            add_slide(store)
            looks = [(other.revision, other.tiles())]
            for name, seed in edits:
                make_edit(store, name, seed)
                looks.append((other.revision, other.tiles()))
            for revision, table in looks:
                changes = other.tile_changes(revision)
                event("all" if changes is None else "some")
                if changes is not None:
                    assert changes.revision == store.revision
                    assert same(after(table, changes), store.tiles())


def label(store: ProjectStore, tile: int, *states: int) -> None:
    store.set_labels(np.array([tile]), np.array([states], np.int8))


def test_it_has_the_present_states_of_what_changed(slide_store: ProjectStore) -> None:
    store = slide_store
    label(store, 3, PRESENT, ABSENT)
    revision = store.revision
    nothing = store.tile_changes(revision)
    assert nothing is not None
    assert nothing.labels.shape == (0, 2)
    label(store, 9, PRESENT, ABSENT)
    label(store, 5, PRESENT, PRESENT)
    label(store, 9, ABSENT, ABSENT)
    store.set_reviews(np.array([2]), Review.ACCEPTED)
    store.rename_class(1, "crypt")
    found = store.tile_changes(revision)
    assert found is not None
    assert found.ids.tolist() == [2, 5, 9]
    assert found.labels.tolist() == [[-1, -1], [1, 1], [0, 0]]
    assert found.reviews.tolist() == [Review.ACCEPTED, 0, 0]
    assert found.revision == store.revision
    # Undoing changes the tiles of an entry that is older than the revision.
    revision = store.revision
    for _ in range(5):
        store.undo("labels")
    found = store.tile_changes(revision)
    assert found is not None
    assert found.ids.tolist() == [3, 5, 9]
    assert (found.labels == -1).all()


def test_many_changes_are_not_read_one_by_one(
    slide_store: ProjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, ids = slide_store, slide_store.tiles().ids
    revision = store.revision
    monkeypatch.setattr(tile_changes, "MOST_TILES", 3)
    monkeypatch.setattr(tile_changes, "MOST_ENTRIES", 2)
    store.set_labels(ids[:3], np.ones((3, 2), np.int8))
    assert store.tile_changes(revision) is not None
    store.set_labels(ids[2:4], np.zeros((2, 2), np.int8))
    assert store.tile_changes(revision) is None
    for state in (0, 1, 0):
        label(store, 1, state, state)
    assert store.tile_changes(store.revision - 2) is not None
    assert store.tile_changes(store.revision - 3) is None


def test_a_revision_of_another_journal(slide_store: ProjectStore) -> None:
    assert slide_store.tile_changes(slide_store.revision + 1) is None
    assert slide_store.tile_changes(0) is None


@pytest.mark.parametrize(
    "keys", [b"no array", pack(np.array(["one"])), pack(np.ones((2, 2)))]
)
def test_an_entry_that_cannot_be_read(slide_store: ProjectStore, keys: bytes) -> None:
    revision = slide_store.revision
    label(slide_store, 1, PRESENT, ABSENT)
    file = slide_store.path / "project.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE part SET keys = ? WHERE kind = 'labels'", (keys,))
        connection.commit()
    assert slide_store.tile_changes(revision) is None


def test_it_is_of_one_moment_while_another_program_writes(
    slide_store: ProjectStore,
) -> None:
    store, rng, done = slide_store, np.random.default_rng(0), threading.Event()

    def write() -> None:
        with ProjectStore.open(store.path) as other:
            for _ in range(150):
                tiles = rng.permutation(12)[:3] + 1
                states = rng.integers(-1, 2, (3, 2)).astype(np.int8)
                other.set_labels(tiles, states)
        done.set()

    revision, table, looks = store.revision, store.tiles(), 0
    thread = threading.Thread(target=write)
    thread.start()
    while not done.is_set() or looks == 0:
        changes = store.tile_changes(revision)
        assert changes is not None
        revision, table, looks = changes.revision, after(table, changes), looks + 1
    thread.join()
    last = store.tile_changes(revision)
    assert last is not None
    assert same(after(table, last), store.tiles())
