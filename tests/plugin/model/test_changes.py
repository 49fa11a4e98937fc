"""One event for all that an action changes."""

import pytest

from napari_segmix.model.changes import Changes, Topic


@pytest.fixture
def changes() -> Changes:
    return Changes()


@pytest.fixture
def events(changes: Changes) -> list[frozenset[Topic]]:
    found: list[frozenset[Topic]] = []
    changes.happened.connect(found.append)
    return found


def test_what_is_noted_is_emitted_at_once(
    changes: Changes, events: list[frozenset[Topic]]
) -> None:
    changes.note(Topic.LABELS, Topic.HISTORY)
    changes.note(Topic.TILE)
    assert events == [{Topic.LABELS, Topic.HISTORY}, {Topic.TILE}]


def test_what_belongs_together_is_one_event(
    changes: Changes, events: list[frozenset[Topic]]
) -> None:
    with changes.together():
        changes.note(Topic.BRUSH)
        with changes.together():
            changes.note(Topic.LABELS)
        assert not events
    assert events == [{Topic.BRUSH, Topic.LABELS}]


def test_nothing_is_no_event(changes: Changes, events: list[frozenset[Topic]]) -> None:
    with changes.together():
        pass
    assert not events


def test_an_error_loses_no_change(
    changes: Changes, events: list[frozenset[Topic]]
) -> None:
    def fail() -> None:
        with changes.together():
            changes.note(Topic.RUNS)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert events == [{Topic.RUNS}]


def test_a_change_during_an_event_is_an_event_of_its_own(
    changes: Changes, events: list[frozenset[Topic]]
) -> None:
    def follow(topics: frozenset[Topic]) -> None:
        if Topic.SOURCES in topics:
            changes.note(Topic.SHOWN)

    changes.happened.connect(follow)
    changes.note(Topic.SOURCES)
    assert sorted(map(sorted, events)) == [["shown"], ["sources"]]
