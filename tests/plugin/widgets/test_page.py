"""Parts of pages: they watch the model while they can be seen."""

from typing import Any

import pytest

from napari_segmix.model.changes import Topic
from napari_segmix.session import Session
from napari_segmix.widgets.page import Page, Part


class Counter(Part):
    """Counts its refreshes, and hides itself."""

    def __init__(self, session: Session) -> None:
        super().__init__(session.model, session.actions)
        self.counts = {"labels": 0, "runs": 0}
        self.watch(self.see_labels, Topic.LABELS, Topic.HISTORY)
        self.watch(self.see_runs, Topic.RUNS)

    def see_labels(self) -> None:
        self.counts["labels"] += 1
        self.hide()

    def see_runs(self) -> None:
        self.counts["runs"] += 1


@pytest.fixture
def page(session: Session, qtbot: Any) -> Page:
    page = Page(session.model, session.actions)
    page.part = Counter(session)
    page.column.addWidget(page.part)
    qtbot.addWidget(page)
    return page


def test_a_part_of_a_hidden_page_does_nothing_until_it_is_shown(
    page: Page, session: Session
) -> None:
    for _ in range(3):
        session.model.changes.note(Topic.LABELS)
    session.model.changes.note(Topic.HISTORY, Topic.TILE)
    assert page.part.counts == {"labels": 0, "runs": 0}
    page.show()
    assert page.part.counts == {"labels": 1, "runs": 0}
    page.hide()
    page.show()
    assert page.part.counts == {"labels": 1, "runs": 0}


def test_one_event_is_one_refresh(page: Page, session: Session) -> None:
    page.show()
    with session.model.changes.together():
        session.model.changes.note(Topic.LABELS)
        session.model.changes.note(Topic.HISTORY, Topic.RUNS)
    assert page.part.counts == {"labels": 1, "runs": 1}


def test_a_part_that_hides_itself_goes_on_watching(
    page: Page, session: Session
) -> None:
    page.show()
    session.model.changes.note(Topic.LABELS)
    assert page.part.isHidden()
    session.model.changes.note(Topic.LABELS)
    assert page.part.counts["labels"] == 2


def test_a_page_inside_of_a_page_waits_by_itself(session: Session, qtbot: Any) -> None:
    outer, inner = (Page(session.model, session.actions) for _ in range(2))
    qtbot.addWidget(outer)
    part = Counter(session)
    inner.column.addWidget(part)
    outer.column.addWidget(inner)
    inner.hide()
    outer.show()
    session.model.changes.note(Topic.RUNS)
    assert part.counts["runs"] == 0
    inner.show()
    assert part.counts["runs"] == 1


def test_a_part_that_is_gone_is_not_called(session: Session, qtbot: Any) -> None:
    part = Counter(session)
    counts = part.counts
    part.deleteLater()
    qtbot.wait(10)
    session.model.changes.note(Topic.LABELS)
    assert counts["labels"] == 0
