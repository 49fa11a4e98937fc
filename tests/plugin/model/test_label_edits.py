import numpy as np
import pytest

from napari_segmix.model.label_edits import (
    PaintMode,
    count_labels,
    edited,
    exactly,
    is_labeled,
    merged,
    next_unlabeled,
)
from segmix_core.project.records import KEEP

STATES = np.array([[-1, -1, -1], [1, 0, -1], [0, 0, 0]], np.int8)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (PaintMode.ONLY, [[0, 1, 0], [0, 1, 0], [0, 1, 0]]),
        (PaintMode.ADD, [[-1, 1, -1], [1, 1, -1], [0, 1, 0]]),
        (PaintMode.REMOVE, [[-1, 0, -1], [1, 0, -1], [0, 0, 0]]),
        (PaintMode.CLEAR, [[-1, -1, -1]] * 3),
    ],
)
def test_a_stroke_with_the_second_class(
    mode: PaintMode, expected: list[list[int]]
) -> None:
    before = STATES.copy()
    edit = edited(STATES, mode, 2)
    assert merged(STATES, edit).tolist() == expected
    # Another program's labels of classes that the stroke is not about are left alone.
    if mode in (PaintMode.ADD, PaintMode.REMOVE):
        assert (np.delete(edit, 1, axis=1) == KEEP).all()
    assert np.array_equal(STATES, before)


def test_exactly_makes_all_others_absent() -> None:
    assert exactly(STATES[:1], (1, 3)).tolist() == [[1, 0, 1]]
    assert exactly(STATES[:1], ()).tolist() == [[0, 0, 0]]


def test_a_tile_is_labeled_when_anything_is_known() -> None:
    assert is_labeled(STATES).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("start", "step", "expected"),
    [(None, 1, 1), (1, 1, 3), (2, 1, 3), (3, 1, 1), (3, -1, 1), (1, -1, 3)],
)
def test_next_unlabeled_goes_around(
    start: int | None, step: int, expected: int
) -> None:
    states = np.array([[0], [-1], [1], [-1], [1]], np.int8)
    assert next_unlabeled(states, start, step) == expected


def test_there_is_no_next_when_all_are_labeled() -> None:
    assert next_unlabeled(np.zeros((3, 2), np.int8), 0) is None
    assert next_unlabeled(np.zeros((0, 2), np.int8), None) is None


def test_counts() -> None:
    counts = count_labels(STATES)
    assert counts.present == (1, 0, 0)
    assert counts.absent == (1, 2, 1)
    assert counts.unknown == (1, 1, 2)
    assert (counts.labeled, counts.total) == (2, 3)


def test_counts_of_two_sources() -> None:
    both = np.concatenate([STATES, STATES[:2]])
    assert count_labels(STATES) + count_labels(STATES[:2]) == count_labels(both)
