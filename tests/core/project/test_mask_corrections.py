import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from segmix_core.geometry import Box
from segmix_core.project.chunks import changed_box
from segmix_core.project.records import NewImage, SourceKind, TilingPlan
from segmix_core.project.store import ProjectStore


def _fill(box: Box, value: int) -> np.ndarray:
    return np.full((box.height, box.width), value, np.uint8)


def test_only_the_changed_box_is_journalled(slide_store: ProjectStore) -> None:
    box = Box(10, 20, 30, 40)
    values = _fill(box, 254)
    values[5:9, 7:12] = 2
    change = slide_store.correct_mask(1, box, values)
    assert change is not None
    assert change.kind == "mask"
    assert change.box == Box(15, 27, 4, 5)
    assert change.image_ids == (1,)
    assert np.array_equal(slide_store.corrections(1, box), values)
    assert slide_store.correct_mask(1, box, values) is None


def test_outside_the_image_is_untouched(slide_store: ProjectStore) -> None:
    slide_store.correct_mask(1, Box(0, 0, 2, 2), _fill(Box(0, 0, 2, 2), 1))
    found = slide_store.corrections(1, Box(-2, -2, 4, 4))
    assert (found[2:, 2:] == 1).all()
    assert (found == 254).sum() == 12


def test_undo_and_redo(slide_store: ProjectStore) -> None:
    whole = Box(0, 0, 192, 256)
    history = [slide_store.corrections(1, whole)]
    rng = np.random.default_rng(0)
    for value in (0, 1, 2, 255, 254):
        y, x = rng.integers(0, 100, 2)
        box = Box(int(y), int(x), 50, 60)
        slide_store.correct_mask(1, box, _fill(box, value))
        history.append(slide_store.corrections(1, whole))
    for state in reversed(history[:-1]):
        change = slide_store.undo()
        assert change is not None
        assert change.box is not None
        assert np.array_equal(slide_store.corrections(1, whole), state)
    for state in history[1:]:
        slide_store.redo()
        assert np.array_equal(slide_store.corrections(1, whole), state)


def test_corrected_tiles(slide_store: ProjectStore) -> None:
    assert slide_store.corrected_tiles(1).tolist() == []
    box = Box(60, 60, 8, 8)
    slide_store.correct_mask(1, box, _fill(box, 1))
    assert slide_store.corrected_tiles(1).tolist() == [1, 2, 5, 6]
    slide_store.correct_mask(1, Box(60, 60, 4, 8), _fill(Box(60, 60, 4, 8), 254))
    assert slide_store.corrected_tiles().tolist() == [5, 6]
    slide_store.undo()
    slide_store.undo()
    assert slide_store.corrected_tiles(1).tolist() == []


def test_working_grid_of_a_fine_slide(store: ProjectStore, tmp_path: Path) -> None:
    image = NewImage(
        path=tmp_path / "s.tif",
        height=400,
        width=600,
        mpp_y=0.25,
        mpp_x=0.25,
        downsample=2.0,
        group="",
        boxes=np.array([[0, 0, 200, 200], [0, 200, 200, 200]]),
        rows=np.array([0, 0]),
        cols=np.array([0, 1]),
    )
    plan = TilingPlan(100, 100, 0.5)
    store.add_source(SourceKind.SLIDE, image.path, "s", plan, [image])
    box = Box(0, 100, 200, 200)
    store.correct_mask(1, box, _fill(box, 1))
    assert store.corrected_tiles().tolist() == [2]
    with pytest.raises(ValueError, match="inside"):
        store.correct_mask(1, Box(0, 200, 200, 200), _fill(box, 1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((4, 5), np.uint8), "uint8"),
        (np.zeros((4, 4), np.int64), "uint8"),
        (np.full((4, 4), 3, np.uint8), r"be 0\.\.2"),
    ],
)
def test_wrong_pixels(
    slide_store: ProjectStore, values: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        slide_store.correct_mask(1, Box(0, 0, 4, 4), values)


def test_caches_and_runs_hold_no_work(slide_store: ProjectStore) -> None:
    whole = Box(0, 0, 192, 256)
    for y in (0, 40, 80):
        box = Box(y, y, 60, 60)
        slide_store.correct_mask(1, box, _fill(box, y // 40))
    slide_store.undo("masks")
    before = slide_store.corrections(1, whole)
    slide_store.close()
    for path in slide_store.path.iterdir():
        if path.name != "project.sqlite":
            shutil.rmtree(path)
    with ProjectStore.open(slide_store.path) as store:
        assert np.array_equal(store.corrections(1, whole), before)


def test_unchanged_pixels_keep_what_another_program_drew(
    slide_store: ProjectStore,
) -> None:
    box = Box(0, 0, 8, 8)
    with ProjectStore.open(slide_store.path) as other:
        other.correct_mask(1, box, _fill(box, 2))
    values = _fill(box, 253)
    values[:4] = 1
    change = slide_store.correct_mask(1, box, values)
    assert change is not None
    assert change.description == "Corrected 32 mask pixels"
    found = slide_store.corrections(1, box)
    assert (found[:4] == 1).all()
    assert (found[4:] == 2).all()


def test_squares_against_one_large_array(store: ProjectStore) -> None:
    height, width = 1500, 1100
    image = NewImage(
        path=store.path / "s.tif",
        height=height,
        width=width,
        mpp_y=None,
        mpp_x=None,
        downsample=1.0,
        group="",
        boxes=np.array([[0, 0, height, width]]),
        rows=np.array([0]),
        cols=np.array([0]),
    )
    plan = TilingPlan(2048, 2048)
    store.add_source(SourceKind.SLIDE, image.path, "s", plan, [image])
    twin, rng = np.full((height, width), 254, np.uint8), np.random.default_rng(2)
    for _ in range(30):
        y, x = int(rng.integers(0, height - 1)), int(rng.integers(0, width - 1))
        box = Box(y, x, *(int(rng.integers(1, n + 1)) for n in (height - y, width - x)))
        values = rng.choice([0, 1, 2, 253, 254, 255], (box.height, box.width))
        store.correct_mask(1, box, values.astype(np.uint8))
        twin[box.slices] = np.where(values == 253, twin[box.slices], values)
        seen = Box(y // 2, x // 2, 700, 600)
        padded = np.pad(twin, 700, constant_values=254)
        assert np.array_equal(
            store.corrections(1, seen), padded[seen.moved(700, 700).slices]
        )


def test_squares_without_corrections_take_no_room(slide_store: ProjectStore) -> None:
    box = Box(0, 0, 8, 8)
    slide_store.correct_mask(1, box, _fill(box, 1))
    slide_store.correct_mask(1, box, _fill(box, 254))
    assert slide_store._database.rows("SELECT count(*) FROM chunk") == [(0,)]


def test_changed_box_matches_a_slow_search() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        before = rng.integers(0, 2, (6, 7)).astype(np.uint8)
        after = np.where(rng.random((6, 7)) < 0.08, 9, before).astype(np.uint8)
        places = [
            (y, x) for y in range(6) for x in range(7) if before[y, x] != after[y, x]
        ]
        found = changed_box(before, after)
        if not places:
            assert found is None
            continue
        ys, xs = zip(*places, strict=True)
        height, width = max(ys) - min(ys) + 1, max(xs) - min(xs) + 1
        assert found == Box(min(ys), min(xs), height, width)


def test_strokes_are_fast_enough(slide_store: ProjectStore) -> None:
    box = Box(0, 0, 100, 100)
    started = time.perf_counter()
    for value in (0, 1) * 5:
        slide_store.correct_mask(1, box, _fill(box, value))
    assert (time.perf_counter() - started) / 10 < 0.25
