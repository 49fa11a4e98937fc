"""What a label by a key costs: one transaction, one event, no look at runs."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from app_model.types import KeyBinding

from napari_segmix.layers.own_layers import find_layer
from napari_segmix.session import Session
from napari_segmix.widgets.dock import PAGES
from tests.plugin.runs_of_pages import finished

_opened: list[str] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("open", "os.scandir", "os.listdir") and _opened is not None:
        _opened.append(str(arguments[0]))


sys.addaudithook(_note)


@contextmanager
def files() -> Iterator[list[str]]:
    """Give the names of the files and folders that are opened inside."""
    global _opened
    _opened = []
    try:
        yield _opened
    finally:
        _opened = None


@contextmanager
def statements(session: Session) -> Iterator[list[str]]:
    """Give what the project's file is asked inside."""
    asked: list[str] = []
    connection = session.model.project.require()._database._connection
    connection.set_trace_callback(asked.append)
    try:
        yield asked
    finally:
        connection.set_trace_callback(None)


@pytest.fixture
def press(jobs: Session, qtbot: Any) -> Callable[[str], None]:
    """Press a key of the tile layer, with all pages there and five ended runs."""
    for stage in ("train", "cams", "pseudo-masks", "train-segmenter", "predict"):
        finished(jobs, stage)
    for page_type in PAGES.values():
        page = page_type(jobs.model, jobs.actions)
        qtbot.addWidget(page)
        # Pages that stay visible do all that they have to.
        page.show()
    jobs.watch.stop()
    jobs.actions.labels.choose_tile(5)
    layer = find_layer(jobs.viewer, "tiles")
    assert layer is not None

    def act(key: str) -> None:
        layer.keymap[KeyBinding.from_str(key)](layer)

    act("3")
    return act


@pytest.mark.parametrize("key", ["1", "3", "0"])
def test_a_label_by_a_key(
    jobs: Session, press: Callable[[str], None], key: str
) -> None:
    press("2")
    events: list[object] = []
    jobs.model.changes.happened.connect(events.append)
    before = jobs.model.project.tiles
    with statements(jobs) as asked, files() as opened:
        press(key)
    ends = [line for line in asked if line.startswith(("BEGIN", "COMMIT"))]
    assert ends == ["BEGIN IMMEDIATE", "COMMIT"]
    assert len(asked) - len(ends) <= 3
    assert len(events) == 1
    assert not [name for name in opened if "runs" in name]
    assert before is not None
    assert jobs.model.project.tiles is not before
    stored = jobs.model.project.require().tiles()
    assert np.array_equal(jobs.model.project.tiles.labels, stored.labels)


def test_what_is_known_after_it_is_what_is_stored(
    jobs: Session, press: Callable[[str], None]
) -> None:
    project, store = jobs.model.project, jobs.model.project.require()
    newest = finished(jobs, "train").path
    assert newest not in jobs.model.runs.outdated()
    press("1")
    assert newest in jobs.model.runs.outdated()
    assert project.revision == store.revision
    assert project.last_changes == store.last_changes()
    steps = project.history["labels"]
    assert (steps.can_undo, steps.can_redo) == (True, False)
    jobs.actions.history.undo("labels")
    steps = project.history["labels"]
    assert (steps.can_undo, steps.can_redo) == (True, True)


def test_a_look_for_other_programs_asks_one_thing_after_it(
    jobs: Session, press: Callable[[str], None]
) -> None:
    press("1")
    with statements(jobs) as asked:
        jobs.watch.look()
    assert asked == ["PRAGMA data_version"]
