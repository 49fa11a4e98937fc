import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from segmix_core.errors import ProjectError
from segmix_core.project import packing, tissue
from segmix_core.project.database import FILE_NAME
from segmix_core.project.records import Review, SourceKind, TilingPlan, Tissue
from segmix_core.project.repair import repair
from segmix_core.project.store import ProjectStore
from segmix_core.project.verify import find_faults
from tests.core.project.conftest import new_slide

EDGE, ROWS, COLS = 64, 3, 4


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def tissue_of(rng, shape=(9, 13)):
    return Tissue(rng.random(shape) < 0.5, 21.5, 0.25)


def same(a, b):
    return (
        np.array_equal(a.mask, b.mask)
        and a.downsample == b.downsample
        and a.min_share == b.min_share
    )


def cells(places):
    """Return boxes, rows and cols of tiles at (row, col)."""
    rows, cols = np.array(places, np.int64).reshape(-1, 2).T
    size = np.full_like(rows, EDGE)
    return np.column_stack((rows * EDGE, cols * EDGE, size, size)), rows, cols


def places(store):
    tiles = store.tiles()
    return sorted(zip(tiles.rows.tolist(), tiles.cols.tolist(), strict=True))


@pytest.fixture
def first(rng):
    return tissue_of(rng)


@pytest.fixture
def cut(store, first):
    """A slide of 12 tiles that was cut by its tissue."""
    path = store.path.parent / "slide.tif"
    image = replace(new_slide(path, ROWS, COLS), tissue=first)
    store.add_source(SourceKind.SLIDE, path, "slide", TilingPlan(64, 64), [image])
    return store


def test_the_tissue_of_a_new_slide_is_stored(cut, first):
    assert same(cut.tissue(1), first)
    assert cut.tissue(1).mask.dtype == np.bool_
    with ProjectStore.open(cut.path) as again:
        assert same(again.tissue(1), first)


def test_a_slide_of_before_has_none(slide_store):
    assert slide_store.tissue(1) is None


def test_undoing_the_addition_takes_the_tissue_along(cut, first):
    cut.undo("labels")
    assert cut.tissue(1) is None
    cut.redo("labels")
    assert same(cut.tissue(1), first)


def test_tiles_that_remain_keep_id_labels_and_review(cut, rng):
    tiles = cut.tiles()
    states = rng.integers(-1, 2, (12, 2)).astype(np.int8)
    cut.set_labels(tiles.ids, states)
    cut.set_reviews(tiles.ids[:5], Review.ACCEPTED)
    kept = [(0, 0), (1, 2), (2, 3)]
    cut.set_tissue(1, tissue_of(rng), *cells(kept))
    now = cut.tiles()
    index = [row * COLS + col for row, col in kept]
    assert now.ids.tolist() == tiles.ids[index].tolist()
    assert now.labels.tolist() == states[index].tolist()
    assert now.reviews.tolist() == [1, 0, 0]


def test_a_tile_comes_back_with_its_labels(cut, rng):
    tiles = cut.tiles()
    states = rng.integers(0, 2, (12, 2)).astype(np.int8)
    cut.set_labels(tiles.ids, states)
    everything = [(row, col) for row in range(ROWS) for col in range(COLS)]
    cut.set_tissue(1, tissue_of(rng), *cells(everything[:4]))
    cut.set_tissue(1, tissue_of(rng), *cells(everything[2:]))
    now = cut.tiles()
    assert now.ids.tolist() == tiles.ids[2:].tolist()
    assert now.labels.tolist() == states[2:].tolist()


def test_new_places_are_new_tiles_without_labels(cut, rng):
    cut.set_labels(cut.tiles().ids, np.ones((12, 2), np.int8))
    change = cut.set_tissue(1, tissue_of(rng), *cells([(0, 0), (7, 7), (8, 1)]))
    assert change.description == "Corrected the tissue: 2 tiles added, 11 removed"
    assert (change.kind, change.image_ids) == ("tissue", (1,))
    assert places(cut) == [(0, 0), (7, 7), (8, 1)]
    tiles = cut.tiles()
    assert (tiles.labels[tiles.rows > 0] == -1).all()
    assert tiles.boxes[tiles.rows == 7].tolist() == [[448, 448, 64, 64]]


def test_what_is_the_same_is_no_change(cut, first):
    everything = [(row, col) for row in range(ROWS) for col in range(COLS)]
    revision = cut.revision
    assert cut.set_tissue(1, first, *cells(everything)) is None
    assert cut.revision == revision


def test_a_mask_may_change_without_its_tiles(cut, rng):
    everything = [(row, col) for row in range(ROWS) for col in range(COLS)]
    other = tissue_of(rng)
    assert cut.set_tissue(1, other, *cells(everything)) is not None
    assert same(cut.tissue(1), other)
    cut.undo("labels")
    assert not same(cut.tissue(1), other)


def test_undo_and_redo_over_many_corrections(cut, rng):
    cut.set_labels(cut.tiles().ids, rng.integers(-1, 2, (12, 2)).astype(np.int8))
    states = []

    def look():
        tiles = cut.tiles()
        return (
            tiles.ids.tolist(),
            tiles.labels.tolist(),
            cut.tissue(1).mask.tolist(),
        )

    for _ in range(6):
        states.append(look())
        chosen = np.argwhere(rng.random((ROWS + 1, COLS + 1)) < 0.5)
        cut.set_tissue(1, tissue_of(rng), *cells(chosen))
    states.append(look())
    for state in states[-2::-1]:
        cut.undo("labels")
        assert look() == state
    for state in states[1:]:
        cut.redo("labels")
        assert look() == state
    assert find_faults(cut.path) == ()


def test_undo_of_masks_leaves_the_tissue(cut, rng):
    cut.set_reviews(cut.tiles().ids[:1], Review.ACCEPTED)
    other = tissue_of(rng)
    cut.set_tissue(1, other, *cells([(0, 0)]))
    cut.undo("masks")
    assert same(cut.tissue(1), other)
    assert cut.tiles().reviews.tolist() == [0]


def test_another_program_sees_the_new_tiles(cut, rng):
    with ProjectStore.open(cut.path) as other:
        assert len(other.tiles()) == 12
        cut.set_tissue(1, tissue_of(rng), *cells([(0, 0)]))
        assert places(other) == [(0, 0)]
        assert other.last_changes()["tissue"] == cut.revision


def test_labels_of_a_tile_that_has_gone_are_refused(cut, rng):
    last = cut.tiles().ids[-1:]
    cut.set_tissue(1, tissue_of(rng), *cells([(0, 0)]))
    with pytest.raises(ProjectError, match="no longer in the project"):
        cut.set_labels(last, np.ones((1, 2), np.int8))


@pytest.mark.parametrize("shape", [(1, 1), (3, 8), (5, 9), (4096, 17)])
def test_packing_is_exact(rng, shape):
    given = tissue_of(rng, shape)
    assert same(tissue.unpack_tissue(tissue.pack_tissue(given)), given)
    assert tissue.unpack_tissue(tissue.pack_tissue(None)) is None


@pytest.mark.parametrize(
    ("mask", "downsample", "share"),
    [
        (np.zeros(5, bool), 8.0, 0.2),
        (np.zeros((0, 5), bool), 8.0, 0.2),
        (np.zeros((1, 8193), bool), 8.0, 0.2),
        (np.zeros((2, 2), bool), 0.5, 0.2),
        (np.zeros((2, 2), bool), 8.0, 1.5),
    ],
)
def test_impossible_tissue(mask, downsample, share):
    with pytest.raises(ValueError, match=r"[Mm]ask|Invalid"):
        Tissue(mask, downsample, share)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no zlib",
        packing.pack(np.zeros((3, 9), np.uint8)),
        packing.pack(np.zeros((9000, 2), np.uint8)),
        packing.pack(np.zeros((3, 2), np.float64)),
        packing.deflate(b"\x93NUMPY\x01\x00"),
    ],
    ids=["empty", "no zlib", "wide", "long", "floats", "cut off"],
)
def test_a_damaged_mask_is_named(cut, content):
    execute(cut.path, "UPDATE tissue SET mask = ?", content)
    with pytest.raises(ProjectError, match="damaged"):
        cut.tissue(1)
    assert any("tissue of image 1 cannot be read" in f for f in find_faults(cut.path))


def execute(path, statement, *values):
    with closing(sqlite3.connect(path / FILE_NAME)) as connection:
        connection.execute(statement, values)
        connection.commit()


@pytest.mark.parametrize(
    "statement", ["DELETE FROM tissue", "UPDATE tissue SET mask = x'00'"]
)
def test_a_whole_journal_brings_the_tissue_back(cut, first, rng, statement):
    other = tissue_of(rng)
    cut.set_tissue(1, other, *cells([(0, 0), (5, 5)]))
    wanted = cut.tiles().ids.tolist()
    cut.close()
    execute(cut.path, statement)
    assert find_faults(cut.path)
    report = repair(cut.path)
    assert report.lost == ()
    with ProjectStore.open(report.path) as store:
        assert same(store.tissue(1), other)
        assert store.tiles().ids.tolist() == wanted
        store.undo("labels")
        assert same(store.tissue(1), first)


@pytest.mark.parametrize("is_damaged", [False, True])
def test_repair_with_gaps_takes_the_tissue_that_is_there(cut, first, rng, is_damaged):
    cut.set_labels(cut.tiles().ids, np.ones((12, 2), np.int8))
    cut.close()
    execute(cut.path, "DELETE FROM journal WHERE id = 1")
    if is_damaged:
        execute(cut.path, "UPDATE tissue SET mask = x'00'")
    report = repair(cut.path)
    told = any("tissue of image 1 cannot be read" in text for text in report.lost)
    assert told is is_damaged
    with ProjectStore.open(report.path) as store:
        assert len(store.tiles()) == 12
        assert is_damaged or same(store.tissue(1), first)


def test_tissue_that_no_entry_made_is_found(slide_store, first):
    with closing(sqlite3.connect(slide_store.path / FILE_NAME)) as connection:
        tissue.write(connection, 1, first)
        connection.commit()
    assert any("1 tissue masks" in fault for fault in find_faults(slide_store.path))
