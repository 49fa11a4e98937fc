"""Two programs on one project: each shows what the other does, and loses nothing."""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel

from napari_segmix._compat import camera
from napari_segmix.actions.watch import LOOK_MS
from napari_segmix.layers.own_layers import find_layer
from napari_segmix.layers.tile_codes import TileCodes
from napari_segmix.layers.tissue_layer import ROLE as TISSUE
from napari_segmix.model.changes import Topic
from napari_segmix.model.label_edits import PaintMode, count_labels
from napari_segmix.session import Session
from napari_segmix.widgets.class_table import ClassTable
from segmix_core.errors import ProjectError
from segmix_core.geometry import Box
from segmix_core.project.reader import ProjectReader
from segmix_core.project.records import (
    LabelState,
    NewImage,
    Review,
    SourceKind,
    TileTable,
    TilingPlan,
)
from segmix_core.project.snapshots import copy_database
from segmix_core.project.store import ProjectStore
from tests.core.project.random_edits import EDITS, OFTEN
from tests.plugin.actions.test_masks import make_masks, paint, window_of
from tests.plugin.conftest import TILE_PX, InlineExecutor, pink

SCRIPT = Path(__file__).parents[1] / "other_program.py"
ROOT = SCRIPT.parents[2]
SHOWN_MS = 5000
"""A look comes every 300 ms; a busy machine may be late."""

Do = Callable[..., None]
Show = Callable[[Callable[[], object]], None]


@pytest.fixture
def do(project: Session) -> Iterator[Do]:
    """Let another process change the project; returns when that is stored."""
    program = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(project.model.project.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert program.stdin is not None
    assert program.stdout is not None

    def ask(*words: object) -> None:
        program.stdin.write(json.dumps(words) + "\n")
        program.stdin.flush()
        assert program.stdout.readline() == "done\n"

    yield ask
    program.stdin.close()
    program.wait(20)
    program.stdout.close()


@pytest.fixture
def until(qtbot: Any) -> Show:
    """Wait until something is shown; nobody asks the session to look."""
    return lambda is_shown: qtbot.waitUntil(is_shown, timeout=SHOWN_MS)


@pytest.fixture
def second_slide(tmp_path: Path) -> Path:
    path = tmp_path / "second.tif"
    resolution = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}
    image = pink(3 * TILE_PX, 3 * TILE_PX, 5)
    tifffile.imwrite(path, image, photometric="rgb", tile=(64, 64), **resolution)
    return path


def names(session: Session) -> list[str]:
    return [entry.name for entry in session.model.project.classes]


def codes(session: Session) -> np.ndarray:
    return np.asarray(find_layer(session.viewer, "tiles").data)


def label(session: Session, row: int, states: list[int]) -> None:
    session.actions.labels.set_labels(np.array([row]), np.array([states], np.int8))


def write_windows(folder: Path, size: int) -> Path:
    table = folder / "windows.csv"
    rows = [f"tile{number}.png,0,0,{size},1" for number in range(3)]
    table.write_text("\n".join(["filename,x,y,size,has_gland", *rows]))
    return table


def test_it_looks_often_and_only_at_an_open_project(session: Session, tmp_path) -> None:
    assert LOOK_MS <= 500
    assert not session.watch.is_running
    session.actions.projects.create(tmp_path / "p.segmix", ["gland"])
    assert session.watch.is_running
    session.actions.projects.close()
    assert not session.watch.is_running
    session.watch.look()


def test_classes_of_another_program_are_shown(
    slide_session: Session, do: Do, until: Show
) -> None:
    session = slide_session
    do("add class", "fat")
    until(lambda: names(session)[-1] == "fat")
    session.actions.labels.choose_class(4)
    session.actions.labels.paint(np.array([0]))
    assert session.model.project.store.tiles().labels[0].tolist() == [
        0,
        0,
        0,
        1,
    ]
    do("rename class", 1, "crypt")
    until(lambda: names(session)[0] == "crypt")
    do("undo", "labels")
    until(lambda: names(session)[0] == "gland")
    do("undo", "labels")
    do("undo", "labels")
    until(lambda: len(session.model.project.classes) == 3)


def test_the_brush_of_a_class_that_is_gone_paints_nothing(
    slide_session: Session, do: Do, until: Show, messages
) -> None:
    session = slide_session
    session.actions.classes.add("fat")
    session.actions.labels.choose_class(4)
    do("undo", "labels")
    until(lambda: session.model.labeling.tissue_class is None)
    assert "fat was removed" in messages[-1][0]
    find_layer(session.viewer, "tiles").paint((0, 1), 65_000)
    assert "Choose a class" in messages[-1][0]
    assert not codes(session).any()
    assert session.model.project.label_counts.labeled == 0
    # Another class that gets its number is not the one in the brush.
    session.actions.labels.choose_class(1)
    session.actions.classes.add("nerve")
    session.actions.labels.choose_class(4)
    do("undo", "labels")
    do("add class", "muscle")
    until(lambda: names(session)[-1] == "muscle")
    assert session.model.labeling.tissue_class is None


def test_edits_with_a_class_that_is_gone_are_refused_before_it_is_shown(
    slide_session: Session, do: Do, until: Show, messages
) -> None:
    session = slide_session
    session.actions.classes.add("fat")
    session.actions.labels.choose_class(4)
    do("undo", "labels")
    do("add class", "nerve")
    assert names(session)[-1] == "fat"
    session.model.labeling.paint_mode = PaintMode.ADD
    session.actions.labels.paint(np.array([0]))
    assert "fat is no longer in the project" in messages[-1][0]
    assert (session.model.project.store.tiles().labels == LabelState.UNKNOWN).all()
    messages.clear()
    session.actions.classes.rename(4, "lipid")
    assert "fat is no longer in the project" in messages[0][0]
    assert session.model.project.store.classes()[-1].name == "nerve"
    assert names(session)[-1] == "nerve"


def test_counts_before_a_new_class_is_shown(
    slide_session: Session, do: Do, second_slide: Path
) -> None:
    do("add class", "fat")
    # Read now, with a column more than there are classes in the window.
    slide_session.model.project.tables.forget()
    assert len(slide_session.model.project.label_counts.present) == 3
    do("undo", "labels")
    slide_session.actions.classes.add("nerve")
    do("undo", "labels")
    slide_session.model.project.tables.forget()
    assert len(slide_session.model.project.label_counts.present) == 4


def test_a_name_being_typed_goes_to_its_class(
    slide_session: Session, do: Do, until: Show, qtbot, messages
) -> None:
    session = slide_session
    session.actions.classes.add("fat")
    table = ClassTable(session.model, session.actions)
    qtbot.addWidget(table)
    table.show()
    table.table.editItem(table.table.item(3, 1))
    do("undo", "labels")
    do("add class", "nerve")
    until(lambda: names(session)[-1] == "nerve")
    assert table.table.item(3, 1).text() == "fat"
    table.table.item(3, 1).setText("lipid")
    assert "fat is no longer in the project" in messages[-1][0]
    assert names(session)[-1] == "nerve"


def test_sources_of_another_program_are_shown(
    slide_session: Session, do: Do, until: Show, second_slide: Path, messages
) -> None:
    session = slide_session
    do("add source", str(second_slide), TILE_PX)
    until(lambda: session.model.project.label_counts.total == 25)
    assert session.model.project.active_source.name == "slide.tif"
    session.actions.sources.show(session.model.project.sources[1].id)
    do("undo", "labels")
    until(lambda: session.canvas.view.source.name == "slide.tif")
    assert messages[-1] == ("second.tif was removed by another program.", "warning")
    assert find_layer(session.viewer, "tiles").data.shape == (4, 5)


def test_choosing_a_source_that_is_gone(
    slide_session: Session, do: Do, until: Show, second_slide: Path, messages
) -> None:
    session = slide_session
    do("add source", str(second_slide), TILE_PX)
    until(lambda: len(session.model.project.sources) == 2)
    gone = session.model.project.sources[1].id
    do("undo", "labels")
    session.actions.sources.show(gone)
    assert "no longer in the project" in messages[-1][0]
    assert session.model.project.active_source.name == "slide.tif"


def test_labels_of_another_program_are_shown_and_both_are_kept(
    slide_session: Session, do: Do, until: Show
) -> None:
    session, ids = slide_session, slide_session.model.project.tiles.ids
    session.actions.labels.choose_tile(0)
    session.actions.labels.set_state(1, LabelState.PRESENT)
    do("label", int(ids[0]), [-2, -2, 1])
    # Said of the same tile before the window shows the other's label.
    session.actions.labels.set_state(2, LabelState.ABSENT)
    until(lambda: session.model.project.tiles.labels[0].tolist() == [1, 0, 1])
    assert session.model.project.store.tiles().labels[0].tolist() == [
        1,
        0,
        1,
    ]
    assert codes(session)[0, 1] > 4
    assert session.model.labeling.current_tile == 0


def big_session(session: Session, tiles: int) -> Session:
    """Show a slide of ``tiles`` tiles, all labeled."""
    store = session.model.project.store
    row, col = np.divmod(np.arange(tiles), 400)
    size = np.full(tiles, TILE_PX)
    path = store.path / "large.tif"
    image = NewImage(
        path=path,
        height=TILE_PX * (tiles // 400 + 1),
        width=TILE_PX * 400,
        mpp_y=0.5,
        mpp_x=0.5,
        downsample=1.0,
        group="large",
        boxes=np.column_stack((row * TILE_PX, col * TILE_PX, size, size)),
        rows=row,
        cols=col,
    )
    plan = TilingPlan(TILE_PX, TILE_PX, 0.5)
    store.add_source(SourceKind.SLIDE, path, "large", plan, [image])
    states = np.random.default_rng(0).integers(-1, 2, (tiles, 3)).astype(np.int8)
    store.set_labels(store.tiles().ids, states)
    session.showing.reload_sources()
    return session


def test_one_label_among_many_tiles_is_all_that_is_read(
    project: Session, do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = big_session(project, 100_000)
    session.watch.stop()
    ids = session.model.project.tiles.ids

    def used(act: Callable[[], object]) -> float:
        start = time.thread_time()
        act()
        return time.thread_time() - start

    def look_at(row: int, states: list[int]) -> float:
        do("label", int(ids[row]), states)
        seconds = used(session.watch.look)
        assert session.model.project.tiles.labels[row].tolist() == states
        place = session.model.project.placement.cells[row]
        code = int(codes(session)[place[0], place[1]])
        assert session.canvas.view.tile_layer._codes.decode(code) == (3,)
        return seconds

    def read_everything() -> None:
        session.model.project.tables.forget()
        session.model.changes.note(Topic.LABELS)

    everything = min(used(read_everything) for _ in range(3))
    with monkeypatch.context() as patch:
        # Nobody reads a table, and the time of this thread shows it.
        patch.delattr(ProjectReader, "tiles")
        seconds = [look_at(row, [0, 0, 1]) for row in (7, 50_000, 99_999)]
        do("review", int(ids[5]))
        seconds.append(used(session.watch.look))
    assert min(seconds) < everything / 3


@pytest.mark.parametrize("seed", range(4))
def test_whatever_another_program_does_the_window_shows_what_is_stored(
    project: Session, do: Do, seed: int
) -> None:
    session, chance = project, np.random.default_rng(seed)
    session.watch.stop()
    for step in range(40):
        name = str(chance.choice([*EDITS, *OFTEN])) if step else "add_source"
        do("edit", name, int(chance.integers(2**32)))
        if chance.random() < 0.3:
            own = str(chance.choice(["label", "undo", "redo"]))
            edit_here(session, own, chance)
        if chance.random() < 0.6:
            session.watch.look()
            check_all_is_shown(session)
    session.watch.look()
    check_all_is_shown(session)


def edit_here(session: Session, name: str, chance: np.random.Generator) -> None:
    """Edit in the window, which may not have seen what was done elsewhere."""
    if name != "label":
        getattr(session.actions.history, name)("labels")
    elif session.model.project.tiles is not None and len(session.model.project.tiles):
        row = int(chance.integers(len(session.model.project.tiles)))
        label(
            session,
            row,
            chance.integers(-2, 2, len(session.model.project.classes)).tolist(),
        )


def check_all_is_shown(session: Session) -> None:
    store = session.model.project.store
    assert session.model.project.classes == store.classes()
    assert session.model.project.sources == store.sources()
    for source in session.model.project.sources:
        shown, stored = (
            session.model.project.tables.get(source.id),
            store.tiles(source.id),
        )
        for name in TileTable.__dataclass_fields__:
            same = np.array_equal(getattr(shown, name), getattr(stored, name))
            assert same or name == "reviews", (source.name, name)
        assert session.model.project.counts_of(source.id) == count_labels(stored.labels)
    if session.canvas.view is None:
        return
    stored = store.tiles(session.canvas.view.source.id)
    assert np.array_equal(session.canvas.view.tile_ids, stored.ids)
    assert session.model.masks.review_counts()[:2] == (
        int((stored.reviews == Review.ACCEPTED).sum()),
        int((stored.reviews == Review.CORRECTED).sum()),
    )
    cells, layer = (
        session.model.project.placement.cells,
        session.canvas.view.tile_layer,
    )
    drawn = codes(session)[cells[:, 0], cells[:, 1]]
    fresh = TileCodes(session.model.project.classes)
    fresh._sets, fresh._codes = layer._codes._sets, layer._codes._codes
    assert drawn.tolist() == fresh.encode(stored.labels).tolist()


def test_a_stroke_in_progress_outlives_what_others_do(
    slide_session: Session, do: Do, until: Show
) -> None:
    session, ids = slide_session, slide_session.model.project.tiles.ids
    layer, mouse = (
        find_layer(session.viewer, "tiles"),
        session.canvas.view.tile_layer._mouse,
    )
    mouse.is_stroking = True
    layer.data[0, 1] = 65_000
    do("label", int(ids[5]), [1, 0, 0])
    session.watch.look()
    assert session.model.project.tiles.labels[5].tolist() == [-1, -1, -1]
    # An import of this very window may end in between, too.
    session.showing.reload_sources()
    assert layer.data[0, 1] == 65_000
    assert session.model.project.tiles.labels[5].tolist() == [1, 0, 0]
    mouse.is_stroking = False
    session.canvas.view.tile_layer.take_edits()
    assert session.model.project.store.tiles().labels[[0, 5]].tolist() == [
        [1, 0, 0],
        [1, 0, 0],
    ]


@pytest.mark.parametrize("size", [24, 48])
def test_tiles_cut_anew_elsewhere(
    project: Session,
    tile_folder: Path,
    do: Do,
    until: Show,
    tmp_path: Path,
    messages,
    size: int,
) -> None:
    session = project
    session.actions.sources.add([tile_folder])
    stale, before = (
        session.model.project.tiles,
        session.canvas.view.tile_layer,
    )
    do("import windows", str(write_windows(tmp_path, size)))
    label(session, 1, [0, 1, 0])
    assert "no longer in the project" in messages[-1][0]
    # Drawing the classes anew reads the tiles again, before the watch has looked.
    session.actions.classes.recolor(1, "#123456")
    assert session.canvas.view.tile_layer is not before
    assert session.canvas.view.fits(session.model.project.tiles)
    # A stroke that began on the tiles of before means nothing now.
    before.layer.data[0, 1] = 65_000
    before.take_edits()
    labels = session.model.project.store.tiles().labels
    assert labels.tolist() == session.model.project.tiles.labels.tolist()
    assert (labels[:, 1:] == LabelState.UNKNOWN).all()
    assert (labels[:, 0] == LabelState.PRESENT).sum() == 3
    do("undo", "labels")
    do("undo", "labels")
    until(lambda: session.canvas.view.fits(stale))


def test_tissue_that_another_program_corrects(
    slide_session: Session, do: Do, until: Show, messages
) -> None:
    session, image = (
        slide_session,
        slide_session.model.project.store.images()[0].id,
    )
    label(session, 0, [1, 0, 0])
    session.actions.labels.choose_tile(0)
    layer = find_layer(session.viewer, TISSUE)
    width = layer.data.shape[1]
    do("erase tissue", image, width // 5)
    until(lambda: len(session.model.project.tiles) == 12)
    assert layer.data[:, -width // 10 :].max() == 0
    assert session.model.labeling.current_tile == 0
    assert session.model.project.tiles.labels[0].tolist() == [1, 0, 0]
    assert session.canvas.view.fits(session.model.project.tiles)
    label(session, 11, [0, 1, 0])
    assert session.model.project.store.tiles().labels[11].tolist() == [
        0,
        1,
        0,
    ]
    # The slide is taken back elsewhere: a stroke is refused with a sentence.
    for _ in range(4):
        do("undo", "labels")
    layer.data[:, -2:] = 1
    layer.events.paint(value=[])
    assert "Image 1 is no longer in the project" in messages[-1][0]
    until(lambda: session.canvas.view is None)


def test_the_current_tile_stays_when_others_are_cut(
    slide_session: Session, do: Do, until: Show, tmp_path: Path
) -> None:
    session = slide_session
    session.actions.labels.choose_tile(7)
    camera(session.viewer).zoom = 3.5
    do("set mpp", 0.25)
    until(lambda: session.model.project.placement.pixel_size == 0.25)
    assert session.model.labeling.current_tile == 7
    do("undo", "labels")
    until(lambda: session.model.project.placement.pixel_size == 0.5)
    assert session.model.labeling.current_tile == 7


def test_files_that_were_moved_and_settings(
    slide_session: Session, do: Do, until: Show, slide_file: Path, tmp_path: Path
) -> None:
    session = slide_session
    moved = tmp_path / "elsewhere" / "slide.tif"
    moved.parent.mkdir()
    shutil.move(slide_file, moved)
    do("relocate", session.model.project.sources[0].id, str(moved))
    until(lambda: session.canvas.view.source.path == moved)
    assert session.canvas.view.images[0].path == moved
    do("set setting", "intake/slide_mpp", 0.4)
    until(lambda: session.actions.sources.last_mpp == 0.4)


def test_strokes_that_overlap_and_reviews(
    slide_session: Session, do: Do, until: Show
) -> None:
    session, ids = slide_session, slide_session.model.project.tiles.ids
    image = session.model.project.store.images()[0].id
    make_masks(session)
    session.actions.masks.enter()
    session.actions.masks.open_tile(0)
    # The window begins at working pixel (0, 32).
    window = window_of(session)
    paint(session, slice(0, 4), slice(0, 4), 3)
    do("paint", image, [2, 34, 4, 4], 1)
    until(lambda: window.data[4, 4] == 1)
    assert window.data[:2, :4].tolist() == [[3] * 4] * 2
    paint(session, slice(3, 8), slice(3, 8), 0)
    stored = session.model.project.store.corrections(image, Box(0, 32, 8, 8))
    assert stored[0, 0] == 3
    assert stored[2, 2] == 1
    assert (stored[3:, 3:] == 0).all()
    # Elsewhere on the same slide the overlay shows it, under the window it does not.
    do("paint", image, [200, 200, 8, 8], 1)
    overlay = find_layer(session.viewer, "mask").data
    until(lambda: (overlay[200:208, 200:208] == 1).all())
    assert not overlay[:96, 32:160].any()
    do("review", int(ids[0]))
    until(lambda: session.model.masks.review_counts() == (1, 0, 16))
    do("undo", "masks")
    do("undo", "masks")
    until(lambda: session.model.masks.review_counts() == (0, 0, 16))
    until(lambda: (overlay[200:208, 200:208] == 2).all())


def test_pixels_under_the_brush_stay(
    slide_session: Session, do: Do, until: Show
) -> None:
    session = slide_session
    image = session.model.project.store.images()[0].id
    session.actions.masks.open_tile(0)
    window = window_of(session)
    window.data[10, 10] = 3  # painted, and not told yet
    do("paint", image, [10, 42, 1, 2], 1)
    until(lambda: window.data[10, 11] == 1)
    assert window.data[10, 10] == 3
    window.events.paint(value=[])
    assert session.model.project.store.corrections(
        image, Box(10, 42, 1, 2)
    ).tolist() == [[3, 1]]


def test_many_strokes_of_another_program(
    slide_session: Session, do: Do, until: Show
) -> None:
    session = slide_session
    image = session.model.project.store.images()[0].id
    make_masks(session)
    session.actions.masks.enter()
    for column in range(40):
        do("paint", image, [100, 100 + column, 1, 1], 1)
    layer = find_layer(session.viewer, "mask")
    until(lambda: (layer.data[100, 100:140] == 1).all())


def test_the_brush_of_a_correction_whose_class_is_gone(
    slide_session: Session, do: Do, until: Show, messages
) -> None:
    session = slide_session
    session.actions.classes.add("fat")
    session.actions.masks.open_tile(0)
    session.actions.correction.paint_with(4)
    window = window_of(session)
    do("undo", "labels")
    paint(session, slice(0, 2), slice(0, 2), 4)
    assert "fat is no longer in the project" in messages[-1][0]
    assert (window.data == 255).all()
    until(lambda: session.model.masks.brush is None)
    assert window.mode == "pan_zoom"
    session.actions.correction.paint_with(4)
    assert session.model.masks.brush is None
    # Napari's own controls offer any number.
    paint(session, slice(0, 2), slice(0, 2), 77)
    assert "no class 77" in messages[-1][0]
    assert (window.data == 255).all()


def test_painting_on_an_image_that_is_gone(
    slide_session: Session, do: Do, until: Show, messages
) -> None:
    session = slide_session
    session.actions.masks.open_tile(0)
    do("undo", "labels")
    label(session, 0, [1, 0, 0])
    assert "no longer in the project" in messages[-1][0]
    messages.clear()
    paint(session, slice(0, 2), slice(0, 2), 1)
    assert "no longer in the project" in messages[-1][0]
    session.actions.masks.accept()
    assert messages[-1][1] == "error"
    until(lambda: session.canvas.view is None)
    assert window_of(session) is None
    assert session.model.project.tiles is None


def test_a_restored_snapshot_is_shown(
    slide_session: Session, do: Do, until: Show, messages
) -> None:
    session = slide_session
    image = session.model.project.store.images()[0].id
    make_masks(session)
    session.actions.masks.enter()
    folder = session.model.project.path / "snapshots"
    with session.model.project.store._database.reading() as connection:
        copy_database(connection, folder / "early.sqlite")
    label(session, 0, [1, 0, 0])
    session.actions.classes.add("fat")
    session.model.project.store.set_reviews(
        session.model.project.tiles.ids[:2], Review.ACCEPTED
    )
    session.model.project.store.correct_mask(
        image, Box(99, 99, 2, 2), np.ones((2, 2), np.uint8)
    )
    session.actions.masks.reload()
    do("restore", "early")
    until(lambda: len(session.model.project.classes) == 3)
    assert not codes(session).any()
    assert session.model.masks.review_counts() == (0, 0, 16)
    assert (find_layer(session.viewer, "mask").data[99:101, 99:101] == 2).all()
    assert "restored" in messages[-1][0]
    label(session, 0, [0, 1, 0])
    assert session.model.project.store.tiles().labels[0].tolist() == [
        0,
        1,
        0,
    ]


def test_a_project_that_is_deleted_is_told_once_and_takes_no_label(
    slide_session: Session, until: Show, messages, qtbot
) -> None:
    session = slide_session
    away = session.model.project.path.with_name("away")
    session.model.project.path.rename(away)
    until(lambda: any("deleted, moved or replaced" in text for text, _ in messages))
    session.watch._rests_until = 0
    session.watch.look()
    assert len(messages) == len({text for text, _ in messages})
    label(session, 0, [1, 0, 0])
    assert "this change was not saved" in messages[-1][0]
    assert not codes(session).any()
    away.rename(session.model.project.path)
    label(session, 0, [1, 0, 0])
    assert codes(session).any()


def test_a_look_that_fails_is_made_up_for(
    slide_session: Session, do: Do, until: Show, messages, monkeypatch
) -> None:
    session = slide_session

    def refuse(_: ProjectStore) -> None:
        raise ProjectError("The file is locked.", "Wait.")

    with monkeypatch.context() as patch:
        patch.setattr(ProjectStore, "classes", refuse)
        do("add class", "fat")
        until(lambda: ("The file is locked. Wait.", "error") in messages)
        session.watch._rests_until = 0
        session.watch.look()
        assert [text for text, _ in messages].count("The file is locked. Wait.") == 1
    session.watch._rests_until = 0
    until(lambda: names(session)[-1] == "fat")


def test_a_transaction_of_this_program_is_not_waited_for(
    slide_session: Session, do: Do, qtbot
) -> None:
    begun, end = threading.Event(), threading.Event()

    def hold() -> None:
        with slide_session.model.project.store.atomic():
            begun.set()
            end.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait(20)
    slide_session.watch.look()
    assert not end.is_set()
    end.set()
    thread.join()


def test_two_windows_of_one_process(slide_session: Session, until: Show, qtbot) -> None:
    first, second = slide_session, Session(ViewerModel(), InlineExecutor())
    try:
        assert second.actions.projects.open(first.model.project.path)
        label(first, 0, [1, 0, 0])
        label(second, 1, [0, 1, 0])
        first.actions.classes.add("fat")
        until(
            lambda: len(second.model.project.classes) == 4 and codes(first)[0, 2] == 2
        )
        until(lambda: codes(second)[0, 1] == 1)
        # Own changes are no news: nothing is read again.
        seen = []
        first.model.changes.happened.connect(seen.append)
        qtbot.wait(2 * LOOK_MS)
        label(first, 2, [0, 0, 1, 0])
        qtbot.wait(2 * LOOK_MS)
        assert seen == [{Topic.LABELS, Topic.HISTORY}]
        second.actions.history.undo("labels")
        until(lambda: codes(first)[0, 3] == 0)
    finally:
        second.close()
    assert not second.watch.is_running
