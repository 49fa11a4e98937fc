"""Projects that cannot be opened: check, repair, restore; snapshots; slow opening."""

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QDialogButtonBox, QFileDialog, QMessageBox

from napari_segmix.executor import ThreadExecutor
from napari_segmix.session import Session
from napari_segmix.widgets.data_page import DataPage
from napari_segmix.widgets.dock import SegMixDock
from napari_segmix.widgets.snapshot_dialog import SnapshotDialog, ask_copy
from segmix_core.errors import ProjectError
from segmix_core.project.snapshots import copy_database, list_snapshots
from segmix_core.project.store import ProjectStore


def take_snapshot(store: ProjectStore, name: str) -> None:
    with store._database.reading() as connection:
        copy_database(connection, store.path / "snapshots" / f"{name}.sqlite")


@pytest.fixture
def damaged(slide_session: Session) -> Path:
    """A closed project with a snapshot of its first label and a file cut short."""
    session, path = slide_session, slide_session.model.project.path
    for row in range(3):
        session.actions.labels.set_exactly(np.array([row]), (1,))
        if row == 0:
            take_snapshot(session.model.project.store, "2026-01-02")
    session.actions.projects.close()
    file = path / "project.sqlite"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) - 4096])
    return path


@pytest.fixture
def page(session: Session, qtbot: Any) -> DataPage:
    page = DataPage(session.model, session.actions)
    qtbot.addWidget(page)
    page.show()
    return page


@pytest.fixture
def slow(qtbot: Any):
    """A session that works in threads, as in napari."""
    session = Session(ViewerModel(), ThreadExecutor())
    yield session
    session.close()


def choose_first(monkeypatch: pytest.MonkeyPatch, answer: str = "Restore") -> list[str]:
    """Choose the first snapshot of the list; return what is asked then."""
    asked = []

    def run(dialog: SnapshotDialog) -> int:
        dialog.list.topLevelItem(0).setSelected(True)
        ok = dialog.buttons.button(QDialogButtonBox.StandardButton.Ok)
        assert ok.isEnabled()
        return 1

    def confirm(box: QMessageBox) -> int:
        asked.append(box.text())
        texts = {button.text().replace("&", ""): button for button in box.buttons()}
        texts[answer].click()
        return 1

    monkeypatch.setattr(SnapshotDialog, "exec", run)
    monkeypatch.setattr(QMessageBox, "exec", confirm)
    return asked


def test_a_damaged_project_can_be_checked(
    page: DataPage, damaged: Path, messages
) -> None:
    box = page.rescue
    assert box.isHidden()
    assert not page.actions.projects.open(damaged)
    assert not box.isHidden()
    assert box._title.text() == "p.segmix cannot be opened"
    assert "the end of project.sqlite is missing" in box._problem.text()
    assert box.result.isHidden()
    box.check_button.click()
    assert "missing" in box.result.toPlainText()
    box.again_button.click()
    assert page.model.project.store is None
    box.close_button.click()
    assert box.isHidden()


def test_a_damaged_project_is_repaired_into_a_copy(
    page: DataPage, damaged: Path, monkeypatch, messages
) -> None:
    page.actions.projects.open(damaged)
    messages.clear()
    target = ask_copy_name(page, damaged, monkeypatch)
    assert target == damaged.with_name("p-repaired.segmix")
    page.rescue.repair_button.click()
    text = page.rescue.result.toPlainText()
    assert messages == []
    assert "p-repaired.segmix contains" in text
    assert not page.rescue.copy_button.isHidden()
    page.rescue.copy_button.click()
    assert page.model.project.path == target
    assert page.rescue.isHidden()
    assert len(page.model.project.classes) == 3
    # The first proposal is taken now.
    again = ask_copy_name(page, damaged, monkeypatch)
    assert again.name == "p-repaired-2.segmix"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tile SET labels = x'0505'",
        "UPDATE image SET bounds = '[1, 2'",
        "UPDATE class SET color = 'pink'",
    ],
)
def test_damage_that_is_seen_when_it_is_shown(
    page: DataPage, slide_session: Session, messages, statement: str
) -> None:
    session, path = slide_session, slide_session.model.project.path
    session.actions.projects.close()
    with closing(sqlite3.connect(path / "project.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()
    assert not session.actions.projects.open(path)
    assert session.model.project.store is None
    assert not page.rescue.isHidden()
    assert messages[-1][1] == "error"
    assert not any("Unexpected" in text for text, _ in messages)
    assert len(session.viewer.layers) == 0


def ask_copy_name(page: DataPage, project: Path, monkeypatch) -> Path:
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda _parent, _title, name: (name, "")
    )
    chosen = ask_copy(page, project)
    assert chosen is not None
    return chosen


def test_a_damaged_project_goes_back_to_a_snapshot(
    page: DataPage, damaged: Path, monkeypatch, messages
) -> None:
    page.actions.projects.open(damaged)
    asked = choose_first(monkeypatch, "Cancel")
    page.rescue.restore_button.click()
    assert page.model.project.store is None
    choose_first(monkeypatch)
    page.rescue.restore_button.click()
    assert "the current state is kept" in asked[0]
    assert page.model.project.path == damaged
    assert page.model.project.label_counts.labeled == 1
    assert page.rescue.isHidden()
    assert "is kept as snapshots/damaged-" in messages[-1][0]


def test_a_snapshot_of_the_open_project_is_restored(
    page: DataPage, slide_session: Session, monkeypatch, messages
) -> None:
    session = slide_session
    assert not page.snapshots_button.isHidden()
    take_snapshot(session.model.project.store, "2026-01-02")
    session.actions.labels.set_exactly(np.array([0]), (1,))
    choose_first(monkeypatch)
    page.snapshots_button.click()
    assert session.model.project.label_counts.labeled == 0
    assert "is kept as snapshots/before-restore-" in messages[-1][0]
    session.actions.labels.set_exactly(np.array([1]), (2,))
    assert session.model.project.store.tiles().labels[1].tolist() == [
        0,
        1,
        0,
    ]
    # What was there is in the list, and can be restored in turn.
    choose_first(monkeypatch)
    page.snapshots_button.click()
    assert session.model.project.store.tiles().labels[0].tolist() == [
        1,
        0,
        0,
    ]


def test_the_list_of_snapshots(slide_session: Session, qtbot) -> None:
    path = slide_session.model.project.path
    empty = SnapshotDialog(list_snapshots(path))
    qtbot.addWidget(empty)
    assert not empty.buttons.button(QDialogButtonBox.StandardButton.Ok).isEnabled()
    assert empty.chosen is None
    take_snapshot(
        slide_session.model.project.store,
        "before-restore-2026-01-02-030405",
    )
    dialog = SnapshotDialog(list_snapshots(path))
    qtbot.addWidget(dialog)
    texts = [dialog.list.topLevelItem(0).text(column) for column in range(3)]
    assert "before a restore" in texts[0]
    assert texts[2].endswith("kB")


def test_a_lost_file_with_snapshots(
    page: DataPage, damaged: Path, monkeypatch, messages
) -> None:
    (damaged / "project.sqlite").unlink()
    page.actions.projects.open(damaged)
    assert page.rescue.restore_button.isEnabled()
    ask_copy_name(page, damaged, monkeypatch)
    page.rescue.repair_button.click()
    assert "Nothing can be read" in messages[-1][0]


def test_another_programs_file_is_no_damage(
    page: DataPage, slide_session: Session, tmp_path: Path
) -> None:
    session = slide_session
    session.actions.projects.open(tmp_path / "nothing")
    assert page.rescue.isHidden()
    other = tmp_path / "other.segmix"
    other.mkdir()
    with closing(sqlite3.connect(other / "project.sqlite")) as connection:
        connection.execute("CREATE TABLE secret (a)")
    session.actions.projects.open(other)
    assert page.rescue.isHidden()
    assert session.model.project.store is not None


def test_help_for_one_project_leaves_the_open_one(
    page: DataPage, session: Session, damaged: Path, tmp_path: Path, monkeypatch
) -> None:
    session.actions.projects.create(tmp_path / "open.segmix", ["gland"])
    session.actions.projects.open(damaged)
    assert not page.rescue.isHidden()
    assert session.model.project.path.name == "open.segmix"
    choose_first(monkeypatch)
    page.rescue.restore_button.click()
    assert session.model.project.path == damaged


def test_opening_does_not_hold_the_window_up(
    slow: Session, tmp_path: Path, qtbot, monkeypatch
) -> None:
    path = tmp_path / "p.segmix"
    ProjectStore.create(path, ["gland"]).close()
    begun, may_end, make = threading.Event(), threading.Event(), ProjectStore.open

    def open_slowly(where: Path) -> ProjectStore:
        begun.set()
        may_end.wait(20)
        return make(where)

    monkeypatch.setattr(ProjectStore, "open", open_slowly)
    slow.actions.projects.open_in_background(path)
    qtbot.waitUntil(begun.is_set)
    assert slow.model.notices.busy == "Opening p.segmix…"
    assert slow.model.project.store is None
    may_end.set()
    qtbot.waitUntil(lambda: slow.model.project.store is not None)
    assert slow.model.notices.busy == ""


def test_a_project_that_is_not_wanted_any_more_is_closed(
    slow: Session, tmp_path: Path, qtbot, monkeypatch
) -> None:
    path, opened = tmp_path / "p.segmix", []
    ProjectStore.create(path, ["gland"]).close()
    begun, may_end, make = threading.Event(), threading.Event(), ProjectStore.open

    def open_slowly(where: Path) -> ProjectStore:
        begun.set()
        may_end.wait(20)
        opened.append(make(where))
        return opened[-1]

    monkeypatch.setattr(ProjectStore, "open", open_slowly)
    slow.actions.projects.open_in_background(path)
    qtbot.waitUntil(begun.is_set)
    slow.actions.projects.close()
    may_end.set()
    qtbot.waitUntil(lambda: bool(opened))
    qtbot.waitUntil(lambda: _is_closed(opened[0]))
    assert slow.model.project.store is None
    assert slow.model.notices.busy == ""


def _is_closed(store: ProjectStore) -> bool:
    try:
        store.classes()
    except (ProjectError, sqlite3.Error):
        return True
    return False


def test_a_check_tells_how_far_it_is_and_can_be_stopped(
    slow: Session, damaged: Path, tmp_path: Path, qtbot
) -> None:
    said: list[str] = []
    slow.model.notices.message.connect(lambda text, _level: said.append(text))
    slow.actions.projects.open(damaged)
    # A whole project at the place of the damaged one, so that there is much to check.
    shutil.rmtree(damaged)
    with ProjectStore.create(damaged, ["gland"]) as store:
        for number in range(30):
            store.add_class(f"class {number}")
    slow.actions.rescue.check()
    assert slow.model.rescue.now.is_working
    slow.actions.rescue.check()
    slow.actions.rescue.stop()
    qtbot.waitUntil(lambda: not slow.model.rescue.now.is_working)
    assert said[-1] == "Stopped."
    slow.actions.rescue.check()
    qtbot.waitUntil(lambda: not slow.model.rescue.now.is_working)
    assert slow.model.rescue.now.result.startswith("No problems found")
    slow.actions.rescue.check()
    slow.actions.rescue.forget()
    assert not slow.model.rescue.now.is_working


def test_pages_of_a_project_damaged_all_over_stay_usable(
    slide_session: Session, page: DataPage, qtbot: Any
) -> None:
    """Classes and sources cannot be read: help is offered, and others open."""
    session, path = slide_session, slide_session.model.project.path
    dock = SegMixDock(session.viewer)
    qtbot.addWidget(dock)
    session.actions.projects.close()
    with ProjectStore.create(path.with_name("sound.segmix"), ["a"]):
        pass
    file = path / "project.sqlite"
    content = bytearray(file.read_bytes())
    random = np.random.default_rng(1)
    content[4096 : 12 * 4096] = random.bytes(11 * 4096)
    file.write_bytes(content)
    assert not session.actions.projects.open(path)
    assert session.model.project.store is None
    assert session.model.rescue.now.failure is not None
    assert session.actions.projects.open(path.with_name("sound.segmix"))
