from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_segmix.model.label_edits import PaintMode
from napari_segmix.session import Session
from napari_segmix.widgets.brush_box import BrushBox
from napari_segmix.widgets.choice_row import ChoiceRow
from napari_segmix.widgets.label_page import LabelPage
from napari_segmix.widgets.tile_panel import TilePanel


@pytest.fixture
def page(session: Session, qtbot: Any) -> LabelPage:
    page = LabelPage(session.model, session.actions)
    qtbot.addWidget(page)
    page.show()
    return page


def button(row: ChoiceRow, text: str) -> QPushButton:
    return next(b for b in row.findChildren(QPushButton) if b.text() == text)


def click(qtbot: Any, widget: Any) -> None:
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def test_it_says_what_is_missing(
    page: LabelPage, tmp_path: Path, session: Session
) -> None:
    assert "project" in page._empty.text()
    session.actions.projects.create(tmp_path / "p.segmix", ["gland"])
    assert "slides" in page._empty.text()
    assert page._content.isHidden()


def test_progress_and_the_way_through(
    page: LabelPage, slide_session: Session, qtbot: Any
) -> None:
    assert page.progress.format() == "0 of 16 labeled"
    click(qtbot, page.next)
    slide_session.actions.labels.press_digit(2)
    assert page.progress.format() == "1 of 16 labeled"
    click(qtbot, page.next)
    assert slide_session.model.labeling.current_tile == 1
    click(qtbot, page.previous)
    assert slide_session.model.labeling.current_tile == 15
    assert not page.history.redo.isEnabled()
    click(qtbot, page.history.undo)
    assert page.progress.value() == 0
    click(qtbot, page.history.redo)
    assert page.progress.value() == 1


def test_when_all_are_labeled_it_says_so(
    slide_session: Session, messages: list[tuple[str, str]]
) -> None:
    labeling = slide_session.actions.labels
    labeling.paint(np.arange(16))
    labeling.next_unlabeled()
    assert messages[-1] == ("Every tile is labeled.", "info")


def test_another_source_is_chosen(
    page: LabelPage, slide_session: Session, tile_folder: Path
) -> None:
    slide_session.actions.sources.add([tile_folder])
    assert page.source.count() == 2
    page.source.setCurrentIndex(0)
    page.source.activated.emit(0)
    assert slide_session.model.project.active_source is not None
    assert slide_session.model.project.active_source.name == "slide.tif"


def test_the_brush_box_follows_the_labeling(slide_session: Session, qtbot: Any) -> None:
    box = BrushBox(slide_session.model, slide_session.actions)
    qtbot.addWidget(box)
    labeling = slide_session.actions.labels
    click(qtbot, box._group.button(2))
    assert slide_session.model.labeling.active_class == 2
    click(qtbot, button(box.modes, "Add"))
    assert slide_session.model.labeling.paint_mode is PaintMode.ADD
    assert "stroma" in box._sentence.text()
    click(qtbot, button(box.tools, "Brush"))
    assert slide_session.model.labeling.tool == "brush"
    labeling.choose_tool("polygon")
    assert box.tools.value == "polygon"
    assert slide_session.canvas.view is not None
    slide_session.canvas.view.tile_layer.layer.mode = "transform"
    assert box.tools.value is None
    slide_session.actions.classes.add("fat")
    assert box._group.button(4) is not None
    labeling.choose_class(9)
    assert slide_session.model.labeling.active_class == 2


def test_the_tile_panel_shows_and_sets_states(
    slide_session: Session, qtbot: Any
) -> None:
    panel = TilePanel(slide_session.model, slide_session.actions)
    qtbot.addWidget(panel)
    assert "Click a tile" in panel._name.text()
    labeling = slide_session.actions.labels
    labeling.choose_tile(2)
    assert [row.value for row in panel.rows] == ["-1"] * 3
    click(qtbot, button(panel.rows[0], "Present"))
    click(qtbot, button(panel.rows[2], "Present"))
    click(qtbot, button(panel.rows[1], "Absent"))
    assert slide_session.model.project.tiles is not None
    assert slide_session.model.project.tiles.labels[2].tolist() == [
        1,
        0,
        1,
    ]
    labeling.hover(2)
    assert "gland + lymphoid" in panel.hover.text()
    labeling.hover(3)
    assert "unlabeled" in panel.hover.text()
    labeling.set_exactly(np.array([3]), ())
    labeling.hover(None)
    labeling.hover(3)
    assert "none of the classes" in panel.hover.text()
    assert panel._name.text().endswith("row 1, column 4")
    slide_session.actions.classes.add("fat")
    assert panel.rows[3].value == "-1"


def test_the_tile_panel_names_the_file_in_a_gallery(
    project: Session, tile_folder: Path, qtbot: Any
) -> None:
    project.actions.sources.add([tile_folder])
    panel = TilePanel(project.model, project.actions)
    qtbot.addWidget(panel)
    project.actions.labels.choose_tile(6)
    assert panel._name.text().endswith("tile6.png")


def test_without_a_tile_nothing_is_said(slide_session: Session) -> None:
    slide_session.actions.labels.set_state(1, 1)
    slide_session.actions.labels.press_digit(0)
    assert slide_session.model.project.label_counts.labeled == 0
