from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog, QFileDialog

from napari_segmix.session import Session
from napari_segmix.widgets import data_page, source_list
from napari_segmix.widgets.data_page import DataPage
from napari_segmix.widgets.dialogs import NewProjectDialog, PixelSizeDialog


@pytest.fixture
def page(session: Session, qtbot: Any) -> DataPage:
    page = DataPage(session.model, session.actions)
    qtbot.addWidget(page)
    page.show()
    return page


def test_without_a_project_it_says_how_to_begin(page: DataPage) -> None:
    assert not page.sample_button.isHidden()
    assert page._content.isHidden()
    assert page.close_button.isHidden()


def test_a_new_project(
    page: DataPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    def answer(dialog: NewProjectDialog) -> int:
        dialog.name.setText("Colon")
        dialog.folder.setText(str(tmp_path))
        dialog.classes.setText(" gland, stroma ,,")
        return 1

    monkeypatch.setattr(data_page.NewProjectDialog, "exec", answer)
    qtbot.mouseClick(page.new_button, Qt.MouseButton.LeftButton)
    assert page.model.project.path == tmp_path / "Colon.segmix"
    assert not page._content.isHidden()
    assert page.classes.table.rowCount() == 2
    qtbot.mouseClick(page.close_button, Qt.MouseButton.LeftButton)
    assert page.model.project.store is None
    monkeypatch.setattr(
        QFileDialog,
        "getExistingDirectory",
        lambda *_: str(tmp_path / "Colon.segmix"),
    )
    qtbot.mouseClick(page.open_button, Qt.MouseButton.LeftButton)
    assert page._title.text() == "Colon"


def test_the_new_project_needs_a_name_and_classes(qtbot: Any) -> None:
    dialog = NewProjectDialog()
    qtbot.addWidget(dialog)
    ok = dialog._buttons.button(dialog._buttons.StandardButton.Ok)
    assert not ok.isEnabled()
    dialog.classes.setText("gland")
    assert ok.isEnabled()
    dialog.name.setText(" ")
    assert not ok.isEnabled()
    dialog.name.setText("a.segmix")
    assert dialog.path.name == "a.segmix"


def test_choosing_a_folder_for_the_project(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dialog = NewProjectDialog()
    qtbot.addWidget(dialog)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    dialog._browse()
    assert dialog.path.parent == tmp_path


def test_classes_are_edited_in_the_table(
    page: DataPage, project: Session, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    part = page.classes
    part.table.item(0, 1).setText("crypt")
    qtbot.keyClicks(part.new_name, "fat")
    qtbot.keyClick(part.new_name, Qt.Key.Key_Return)
    monkeypatch.setattr(QColorDialog, "getColor", lambda *_: QColor("#102030"))
    part.table.cellClicked.emit(1, 0)
    names = [entry.name for entry in project.model.project.classes]
    assert names == ["crypt", "stroma", "lymphoid", "fat"]
    assert project.model.project.classes[1].color == "#102030"
    # A name that is taken comes back as it was.
    part.table.item(0, 1).setText("fat")
    assert part.table.item(0, 1).text() == "crypt"


def test_counts_of_classes(page: DataPage, slide_session: Session) -> None:
    slide_session.actions.labels.choose_tile(0)
    slide_session.actions.labels.press_digit(1)
    table = page.classes.table
    assert [table.item(row, 2).text() for row in range(3)] == ["1", "0", "0"]
    assert [table.item(row, 3).text() for row in range(3)] == ["0", "1", "1"]


def test_slides_are_added_and_listed(
    page: DataPage,
    project: Session,
    slide_file: Path,
    tile_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: Any,
) -> None:
    part = page.images
    part.cutting.tile_px.setValue(64)
    part.cutting.min_tissue.setValue(0)
    monkeypatch.setattr(
        QFileDialog, "getOpenFileNames", lambda *_: ([str(slide_file)], "")
    )
    monkeypatch.setattr(
        QFileDialog, "getExistingDirectory", lambda *_: str(tile_folder)
    )
    qtbot.mouseClick(part.add_slides, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(part.add_folder, Qt.MouseButton.LeftButton)
    rows = [part.list.topLevelItem(i) for i in range(2)]
    assert [row.text(1) for row in rows] == ["20", "7"]
    assert rows[1].isSelected()
    part.list.itemClicked.emit(rows[0], 0)
    assert project.model.project.active_source is not None
    assert project.model.project.active_source.name == "slide.tif"


def test_options_left_alone_are_automatic(page: DataPage) -> None:
    assert page.images.cutting.options() == {
        "tile_px": None,
        "mpp": None,
        "min_tissue": 0.25,
    }
    page.images.cutting.mpp.setValue(1)
    assert page.images.cutting.options()["mpp"] == 1


def test_canceled_dialogs_do_nothing(
    page: DataPage, project: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([], ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")
    page._ask_open()
    page.images._ask_slides()
    page.images._ask_folder()
    page.labels._ask()
    assert project.model.project.sources == ()


@pytest.mark.parametrize(
    ("answer", "mpp", "count"),
    [(1, 0.5, 1), (PixelSizeDialog.NOT_KNOWN, None, 1), (0, None, 0)],
)
def test_the_pixel_size_is_asked(
    page: DataPage,
    project: Session,
    bare_slide: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: int,
    mpp: float | None,
    count: int,
) -> None:
    def reply(dialog: PixelSizeDialog) -> int:
        dialog.mpp.setValue(0.5)
        return answer

    monkeypatch.setattr(source_list.PixelSizeDialog, "exec", reply)
    project.actions.sources.add([bare_slide], tile_px=64)
    assert project.model.project.store is not None
    images = project.model.project.store.images()
    assert [image.mpp for image in images] == [mpp] * count


def test_pixel_size_dialog_names_the_slides(qtbot: Any) -> None:
    dialog = PixelSizeDialog(["a.svs", "b.svs", "c.svs"], 0.4)
    qtbot.addWidget(dialog)
    assert dialog.mpp.value() == 0.4


def test_labels_are_imported(
    page: DataPage,
    project: Session,
    tile_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: Any,
    tmp_path: Path,
) -> None:
    assert not page.labels.button.isEnabled()
    project.actions.sources.add([tile_folder])
    file = tmp_path / "labels.csv"
    file.write_text("filename,is_gland\ntile0.png,1\n", encoding="utf-8")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    page.labels.button.click()
    assert project.model.project.label_counts.present == (1, 0, 0)


def test_digits_in_file_names_ask_for_the_data_set(
    page: DataPage, project: Session, tile_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(
        type(project.actions.sources),
        "import_labels",
        lambda self, path, **options: asked.append(options),
    )
    monkeypatch.setattr(
        QFileDialog, "getExistingDirectory", lambda *_: str(tile_folder)
    )
    labels = page.labels
    assert labels.preset.isHidden()
    labels.kind.setCurrentIndex(labels.kind.findData("brackets"))
    assert not labels.preset.isHidden()
    labels._ask()
    assert asked[0]["preset"] == labels.preset.currentText()
    labels.kind.setCurrentIndex(labels.kind.findData("windows"))
    assert not labels.replace.isHidden()
    assert labels.keep.isHidden()


def test_known_labels_can_be_kept(
    page: DataPage, project: Session, tile_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.actions.sources.add([tile_folder])
    file = tile_folder.parent / "labels.csv"
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    file.write_text("filename,is_gland\ntile0.png,1\n", encoding="utf-8")
    page.labels._ask()
    file.write_text("filename,is_gland\ntile0.png,0\ntile1.png,1\n", encoding="utf-8")
    page.labels.keep.setChecked(True)
    page.labels._ask()
    assert project.model.project.label_counts.present == (2, 0, 0)
    page.labels.keep.setChecked(False)
    page.labels._ask()
    assert project.model.project.label_counts.present == (1, 0, 0)


def test_while_busy_nothing_can_be_added(page: DataPage, project: Session) -> None:
    project.model.notices.show_busy("Reading…")
    assert not page.images.add_slides.isEnabled()
    assert not page.open_button.isEnabled()
    project.model.notices.set_idle()
    assert page.images.add_slides.isEnabled()


def test_the_pixel_size_of_the_shown_source_is_set(
    page: DataPage, slide_session: Session, qtbot: Any
) -> None:
    details = page.images.details
    assert details.mpp.value() == pytest.approx(0.5)
    assert not details.set_mpp.isEnabled()
    details.mpp.setValue(0.04)
    assert not details.set_mpp.isEnabled()
    details.mpp.setValue(500)
    assert details.mpp.value() == 20
    details.mpp.setValue(0.25)
    qtbot.mouseClick(details.set_mpp, Qt.MouseButton.LeftButton)
    assert slide_session.model.project.store is not None
    assert slide_session.model.project.store.images()[0].mpp == 0.25
    assert not details.set_mpp.isEnabled()
    slide_session.actions.history.undo("labels")
    assert details.mpp.value() == pytest.approx(0.5)


def test_changed_files_are_accepted_on_the_page(
    page: DataPage, project: Session, tile_folder: Path, qtbot: Any
) -> None:
    details = page.images.details
    assert details.isHidden()
    project.actions.sources.add([tile_folder])
    assert details.accept_files.isHidden()
    other = (tile_folder / "tile1.png").read_bytes()
    (tile_folder / "tile2.png").write_bytes(other)
    project.actions.sources.check_files()
    assert "added: 1" in details.changed.text()
    assert not details.accept_files.isHidden()
    qtbot.mouseClick(details.accept_files, Qt.MouseButton.LeftButton)
    assert details.accept_files.isHidden()
