"""The tissue of a slide in the dock: seen, painted, written at once, undone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_segmix.executor import ThreadExecutor
from napari_segmix.layers.own_layers import find_layer
from napari_segmix.layers.tissue_layer import GLASS, ROLE
from napari_segmix.session import Session
from napari_segmix.widgets.data_page import DataPage
from napari_segmix.widgets.dock import SegMixDock
from segmix_core.project.store import ProjectStore
from tests.plugin.conftest import TILE_PX, pink
from tests.plugin.runs_of_pages import wait

Messages = list[tuple[str, str]]


def layer_of(session: Session) -> Any:
    return find_layer(session.viewer, ROLE)


def columns(session: Session) -> list[int]:
    assert session.model.project.tiles is not None
    return sorted(set(session.model.project.tiles.cols.tolist()))


def stroke(session: Session, value: int, x0: int, x1: int) -> None:
    """Paint the tile columns x0..x1 as the mouse does: data first, then the event."""
    layer = layer_of(session)
    step = layer.data.shape[1] // 5
    layer.data[:, x0 * step : x1 * step] = value
    layer.events.paint(value=[])


@pytest.fixture
def shown(slide_session: Session) -> Session:
    """A slide of 4 x 5 tiles; the left column is glass and has no tile."""
    assert layer_of(slide_session) is not None
    return slide_session


def test_a_new_slide_shows_its_tissue(shown: Session) -> None:
    layer = layer_of(shown)
    assert layer.data.dtype == np.uint8
    assert layer.data[:, : layer.data.shape[1] // 5 - 1].max() == 0
    assert layer.data[:, layer.data.shape[1] // 5 + 1 :].min() == 1
    assert layer.contour == 1
    assert not layer.editable
    assert shown.viewer.layers.selection.active is find_layer(shown.viewer, "tiles")
    # Over the slide, whatever its resolution: 0.5 µm a pixel.
    extent = layer.data.shape * layer.scale
    assert extent.tolist() == pytest.approx([4 * TILE_PX * 0.5, 5 * TILE_PX * 0.5])


def test_a_stroke_is_stored_and_cuts_the_tiles(
    shown: Session, messages: Messages
) -> None:
    tiles, store = (
        shown.model.project.tiles,
        shown.model.project.require(),
    )
    assert tiles is not None
    labels = np.tile(np.int8([1, 0, 0]), (16, 1))
    shown.actions.labels.set_labels(np.arange(16), labels)
    picture = find_layer(shown.viewer, "image")
    shown.actions.tissue.correct(True)
    layer = layer_of(shown)
    assert (layer.mode, layer.editable, layer.contour) == ("paint", True, 0)
    assert shown.viewer.layers.selection.active is layer
    stroke(shown, 1, 0, 1)
    assert columns(shown) == [0, 1, 2, 3, 4]
    assert messages[-1] == ("Corrected the tissue: 4 tiles added, 0 removed.", "info")
    stroke(shown, 0, 3, 5)
    assert columns(shown) == [0, 1, 2]
    now = store.tiles()
    assert np.isin(tiles.ids, now.ids).sum() == 8
    assert (now.labels[now.cols > 0] == [1, 0, 0]).all()
    with ProjectStore.open(store.path) as other:
        assert other.tissue(1).mask.tolist() == (layer.data != 0).tolist()
    # The view stays: picture and layers are the same ones.
    assert find_layer(shown.viewer, "image") is picture
    grid = find_layer(shown.viewer, "tiles")
    assert shown.model.project.placement is not None
    assert grid.data.shape == shown.model.project.placement.grid_shape
    assert np.isin(shown.model.project.tables.get(1).ids, now.ids).all()


def test_labels_are_painted_on_the_new_tiles(shown: Session) -> None:
    shown.actions.tissue.correct(True)
    stroke(shown, 1, 0, 1)
    stroke(shown, 0, 1, 3)
    shown.actions.tissue.correct(False)
    tiles = find_layer(shown.viewer, "tiles")
    assert shown.viewer.layers.selection.active is tiles
    tiles.data[:, :] = tiles.selected_label
    tiles.events.paint(value=[])
    labeled = shown.model.project.require().tiles()
    assert len(labeled) == 12
    assert (labeled.labels[:, 0] == 1).all()


def test_the_next_unlabeled_tile_is_the_next_in_place(shown: Session) -> None:
    shown.actions.tissue.correct(True)
    stroke(shown, 1, 0, 1)
    tiles, seen = shown.model.project.tiles, []
    assert tiles is not None
    for _ in range(6):
        shown.actions.labels.next_unlabeled()
        row = shown.model.labeling.current_tile
        assert row is not None
        seen.append((int(tiles.rows[row]), int(tiles.cols[row])))
    assert seen == [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0)]
    shown.actions.labels.previous_unlabeled()
    assert shown.model.labeling.current_tile == seen.index((0, 4)) - 1


def test_undo_and_redo_show_tissue_and_tiles(shown: Session) -> None:
    shown.actions.tissue.correct(True)
    layer = layer_of(shown)
    before = layer.data.copy()
    stroke(shown, 1, 0, 1)
    after = layer.data.copy()
    shown.actions.history.undo("labels")
    assert columns(shown) == [1, 2, 3, 4]
    assert layer.data.tolist() == before.tolist()
    shown.actions.history.redo("labels")
    assert columns(shown) == [0, 1, 2, 3, 4]
    assert layer.data.tolist() == after.tolist()
    shown.actions.history.undo("masks")
    assert columns(shown) == [0, 1, 2, 3, 4]


def test_the_last_tile_is_not_erased(shown: Session, messages: Messages) -> None:
    shown.actions.tissue.correct(True)
    stroke(shown, 0, 0, 5)
    assert messages[-1][1] == "error"
    assert "no tiles left" in messages[-1][0]
    assert columns(shown) == [1, 2, 3, 4]
    assert layer_of(shown).data.any()


def test_found_again(shown: Session, messages: Messages) -> None:
    shown.actions.tissue.find_again()
    assert messages[-1][0] == "The tissue did not change."
    shown.actions.tissue.correct(True)
    stroke(shown, 1, 0, 1)
    shown.actions.tissue.find_again()
    assert columns(shown) == [1, 2, 3, 4]
    assert not layer_of(shown).data[:, 0].any()
    shown.actions.history.undo("labels")
    assert columns(shown) == [0, 1, 2, 3, 4]
    assert layer_of(shown).data[:, 0].all()


def test_what_another_program_stores_is_shown(shown: Session) -> None:
    from segmix_core.geometry import Box
    from segmix_core.intake.tissue import paint_tissue, read_tissue

    with ProjectStore.open(shown.model.project.require().path) as other:
        base = read_tissue(other, 1)
        box = Box(0, 0, *base.mask.shape)
        paint_tissue(other, 1, box, np.ones(base.mask.shape, np.uint8), base)
    shown.showing.reload_sources()
    assert columns(shown) == [0, 1, 2, 3, 4]
    assert layer_of(shown).data.all()


def test_it_follows_the_source_that_is_shown(
    shown: Session, tile_folder: Path, tmp_path: Path
) -> None:
    first = layer_of(shown)
    shown.actions.sources.add([tile_folder])
    assert layer_of(shown) is None
    assert not shown.model.project.shows_slide
    shown.actions.tissue.correct(True)
    assert not shown.model.tissue.is_correcting
    shown.actions.sources.show(1)
    assert layer_of(shown) is not None
    assert layer_of(shown) is not first
    shown.actions.tissue.show(False)
    assert layer_of(shown) is None
    shown.actions.sources.show(2)
    shown.actions.sources.show(1)
    assert layer_of(shown) is None


def test_a_layer_that_was_deleted_comes_back(shown: Session) -> None:
    shown.viewer.layers.remove(layer_of(shown))
    assert not shown.model.tissue.is_shown
    shown.actions.tissue.correct(True)
    assert shown.model.tissue.is_correcting
    stroke(shown, 1, 0, 1)
    assert columns(shown) == [0, 1, 2, 3, 4]


def test_a_slide_that_is_missing(
    shown: Session, slide_file: Path, messages: Messages
) -> None:
    path = shown.model.project.require().path
    shown.actions.tissue.show(False)
    shown.actions.projects.close()
    with ProjectStore.open(path) as store, store._database.transaction() as connection:
        connection.execute("DELETE FROM tissue")
    slide_file.unlink()
    assert shown.actions.projects.open(path)
    shown.actions.tissue.correct(True)
    assert messages[-1][1] == "error"
    assert not shown.model.tissue.is_correcting
    assert not shown.model.tissue.is_shown


@pytest.fixture
def page(shown: Session, qtbot: Any) -> DataPage:
    page = DataPage(shown.model, shown.actions)
    qtbot.addWidget(page)
    page.show()
    return page


def test_the_page_shows_and_corrects(
    page: DataPage, shown: Session, qtbot: Any
) -> None:
    session, box = shown, page.tissue
    assert box.isVisible()
    assert box.show_button.isChecked()
    assert not box.brushes.isVisible()
    qtbot.mouseClick(box.correct_button, Qt.MouseButton.LeftButton)
    assert session.model.tissue.is_correcting
    assert box.brushes.isVisible()
    assert box.brushes.value == "1"
    box.brushes._buttons["0"].click()
    assert layer_of(session).selected_label == 0
    stroke(session, 0, 3, 5)
    assert columns(session) == [1, 2]
    qtbot.mouseClick(box.find_button, Qt.MouseButton.LeftButton)
    assert columns(session) == [1, 2, 3, 4]
    qtbot.mouseClick(box.show_button, Qt.MouseButton.LeftButton)
    assert layer_of(session) is None
    assert not box.correct_button.isChecked()
    assert not box.find_button.isEnabled()


def test_another_page_puts_the_brush_down(page: DataPage, shown: Session) -> None:
    page.tissue.correct_button.click()
    page.hide()
    assert not page.model.tissue.is_correcting
    assert layer_of(shown).contour == 1


def test_a_folder_has_no_tissue_to_correct(page: DataPage, tile_folder: Path) -> None:
    page.actions.sources.add([tile_folder])
    assert not page.tissue.isVisible()


def test_strokes_that_wait_are_written_before_closing(
    project: Session, slide_file: Path, qtbot: Any
) -> None:
    project.actions.sources.add([slide_file], tile_px=TILE_PX)
    path = project.model.project.require().path
    project._executor = ThreadExecutor()
    project.actions.tissue.correct(True)
    # Three strokes without a turn of the event loop: only the first is under way.
    stroke(project, 1, 0, 1)
    stroke(project, 0, 4, 5)
    stroke(project, 0, 3, 4)
    project.actions.projects.close()
    with ProjectStore.open(path) as store:
        assert sorted(set(store.tiles().cols.tolist())) == [0, 1, 2]


def test_a_real_window(
    make_napari_viewer_proxy: Any, qtbot: Any, tmp_path: Path
) -> None:
    """Mouse and keys on the canvas of a window; strokes are written in threads."""
    image = pink(8 * TILE_PX, 8 * TILE_PX)
    image[:, : 4 * TILE_PX] = 243
    tifffile.imwrite(tmp_path / "s.tif", image, photometric="rgb", tile=(64, 64))
    viewer = make_napari_viewer_proxy(show=True)
    dock = SegMixDock(viewer)
    viewer.window.add_dock_widget(dock)
    session = dock.session
    assert session.actions.projects.create(tmp_path / "p.segmix", ["a", "b"])
    session.actions.sources.add([tmp_path / "s.tif"], tile_px=TILE_PX, asks_mpp=False)
    wait(qtbot, lambda: session.model.tissue.is_shown)
    before = len(session.model.project.require().tiles())
    dock.pages["Data"].tissue.correct_button.click()
    canvas = viewer.__wrapped__.window._qt_viewer.canvas.native
    viewer.reset_view()
    qtbot.wait(100)

    def drag(x: int) -> None:
        # A square slide fills the canvas's shorter edge.
        edge = min(canvas.width(), canvas.height())
        middle = canvas.width() // 2 + x * edge // 100
        top = canvas.height() // 2 - edge // 5
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=QPoint(middle, top))
        for step in range(1, 21):
            point = QPoint(middle, top + step * edge // 50)
            QTest.mouseMove(canvas, point)
            qtbot.wait(5)
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=point)

    store = session.model.project.require()
    layer_of(session).brush_size = 12
    revision = store.revision
    drag(-20)
    wait(
        qtbot,
        lambda: (
            session.model.project.tiles is not None
            and len(session.model.project.tiles) > before
        ),
    )
    assert store.revision == revision + 1
    QTest.keyClick(canvas, Qt.Key.Key_0)
    wait(qtbot, lambda: session.model.tissue.brush == 0)
    drag(-20)
    wait(
        qtbot,
        lambda: (
            session.model.project.tiles is not None
            and len(session.model.project.tiles) == before
        ),
    )
    assert store.revision == revision + 2
    session.actions.history.undo("labels")
    assert len(store.tiles()) > before
    session.close()


def test_a_polygon_is_written_when_it_is_drawn(shown: Session) -> None:
    layer = layer_of(shown)
    shown.actions.tissue.paint_with(GLASS)
    assert shown.model.project.store is not None
    before = shown.model.project.store.revision
    step = layer.data.shape[1] // 5
    edge = layer.data.shape[0] - 1
    layer.paint_polygon([[0, step], [0, 3 * step], [edge, 3 * step], [edge, step]], 0)
    assert shown.model.project.store.revision == before + 1
    assert shown.model.project.store.history(1)[0].description.startswith("Corrected")


def test_closing_the_project_writes_what_is_painted(shown: Session) -> None:
    layer = layer_of(shown)
    path = shown.model.project.path
    assert path is not None
    shown.actions.tissue.paint_with(GLASS)
    layer.data[:, layer.data.shape[1] // 5 : 2 * layer.data.shape[1] // 5] = GLASS
    shown.actions.projects.close()
    with ProjectStore.open(path) as store:
        assert store.history(1)[0].description.startswith("Corrected")
