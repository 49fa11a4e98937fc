"""A label set where it was seen: the same outcome as reading first, in fewer steps."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segmix_core.errors import ProjectError
from segmix_core.project.records import KEEP
from segmix_core.project.store import ProjectStore
from segmix_core.project.verify import find_faults

TILE = np.array([2])
EDITS = ((KEEP, KEEP), (1, KEEP), (0, 1), (-1, -1))
Meanwhile = Callable[[ProjectStore], object]


def label(store: ProjectStore, *states: int) -> None:
    store.set_labels(TILE, np.array([states], np.int8))


MEANWHILE: dict[str, Meanwhile] = {
    "nothing": lambda store: None,
    "another tile": lambda store: store.set_labels(
        np.array([3]), np.array([[1, 1]], np.int8)
    ),
    "the same label": lambda store: label(store, 1, KEEP),
    "another label": lambda store: label(store, KEEP, 0),
    "a class more": lambda store: store.add_class("third"),
    "another name": lambda store: store.rename_class(1, "new name"),
    "undo": lambda store: store.undo("labels"),
}


def statements_of(store: ProjectStore, work: Callable[[], object]) -> list[str]:
    """Return what SQLite is asked by ``work``, without the transaction's own ends."""
    asked: list[str] = []
    connection = store._database._connection
    connection.set_trace_callback(asked.append)
    try:
        work()
    finally:
        connection.set_trace_callback(None)
    assert [line for line in asked if line == "COMMIT"] == ["COMMIT"]
    return [line for line in asked if not line.startswith(("BEGIN", "COMMIT"))]


@pytest.mark.parametrize("before", [(), (0, 1)])
@pytest.mark.parametrize("what", MEANWHILE)
def test_the_outcome_is_that_of_reading_first(
    slide_store: ProjectStore, tmp_path: Path, before: tuple[int, ...], what: str
) -> None:
    slide_store.set_labels(np.array([4]), np.array([[1, 1]], np.int8))
    if before:
        label(slide_store, *before)
    seen = slide_store.tiles().labels[[1]]
    classes = slide_store.classes()
    MEANWHILE[what](slide_store)
    slide_store.close()
    outcomes = []
    for number, (a, b) in enumerate(EDITS):
        edit = np.array([[a, b]], np.int8)
        for given in (seen, None):
            path = tmp_path / f"{number} {given is None}.segmix"
            shutil.copytree(slide_store.path, path)
            with ProjectStore.open(path) as store:
                change = store.set_labels(TILE, edit, classes, given)
                text = None if change is None else change.description
                found = store.tiles().labels.tolist(), store.last_changes()
                outcomes.append((text, change and change.image_ids, *found))
                store.undo("labels")
            assert find_faults(path) == ()
    for quick, slow in zip(outcomes[::2], outcomes[1::2], strict=True):
        assert quick[1:] == slow[1:]
        # A class may be called as it was seen.
        texts = [str(o[0]).replace("new name", classes[0].name) for o in (quick, slow)]
        assert texts[0] == texts[1]


def test_it_takes_three_statements(slide_store: ProjectStore) -> None:
    classes, seen = slide_store.classes(), slide_store.tiles().labels[[1]]
    label(slide_store, -1, 0)
    slide_store.undo("labels")
    edit = np.array([[1, 0]], np.int8)
    quick = statements_of(
        slide_store, lambda: slide_store.set_labels(TILE, edit, classes, seen)
    )
    assert len(quick) == 3
    assert slide_store.tiles().labels[1].tolist() == [1, 0]
    # What was seen has gone: the label is read, and the edit made all the same.
    slow = statements_of(
        slide_store, lambda: slide_store.set_labels(TILE, -edit, classes, seen)
    )
    assert len(slow) > 3
    assert slide_store.tiles().labels[1].tolist() == [-1, 0]


def test_what_has_gone_is_refused(slide_store: ProjectStore) -> None:
    slide_store.add_class("third")
    classes, seen = slide_store.classes(), slide_store.tiles().labels[[1]]
    slide_store.undo("labels")
    slide_store.add_class("another")
    edit = np.array([[KEEP, KEEP, 1]], np.int8)
    with pytest.raises(ProjectError, match="third"):
        slide_store.set_labels(TILE, edit, classes, seen)
    for _ in range(2):
        slide_store.undo("labels")
    classes, seen = slide_store.classes(), np.full((1, 2), -1, np.int8)
    with pytest.raises(ProjectError, match="no longer in the project"):
        slide_store.set_labels(TILE, np.array([[1, 0]], np.int8), classes, seen)
    with pytest.raises(ValueError, match="States must"):
        slide_store.set_labels(TILE, np.array([[2, 0]], np.int8), classes, seen)
