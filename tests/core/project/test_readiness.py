import numpy as np
import pytest

from segmix_core.errors import ProjectError
from segmix_core.project.readiness import check_labels, find_doubts
from segmix_core.project.records import TissueClass
from tests.core.project.plain_images import add_images

TUMOUR = TissueClass(1, "tumour", "#e69f00")
STROMA = TissueClass(2, "stroma", "#56b4e9")


def check(labels, training=None, classes=(TUMOUR, STROMA)):
    table = np.array(labels, np.int8)
    split = np.ones(len(table), bool) if training is None else np.array(training)
    check_labels(classes, table, split)


@pytest.mark.parametrize(
    "labels",
    [
        [[1, 0], [0, 1]],
        [[1, -1], [-1, 1]],
        [[1, 1]],
        [[-1, -1], [1, 0], [0, 1]],
    ],
)
def test_labels_that_can_train(labels):
    check(labels)


@pytest.mark.parametrize(
    ("labels", "training", "message"),
    [
        ([[-1, -1]], None, "No tile has a label"),
        ([[1, 0], [0, -1]], None, "No training tile is labeled 'stroma'"),
        ([[0, 0]], None, "No training tile is labeled 'tumour', 'stroma'"),
        ([[1, 0], [0, 1]], [True, False], "No training tile is labeled 'stroma'"),
        (
            [[1, 0], [0, 1]],
            [False, False],
            "None of the 2 labeled tiles is in the split",
        ),
    ],
)
def test_labels_that_cannot_train(labels, training, message):
    with pytest.raises(ProjectError, match=message):
        check(labels, training)


def test_without_classes():
    with pytest.raises(ProjectError, match="Add at least one class"):
        check(np.empty((1, 0)), classes=())


def test_one_class_needs_tiles_without_it():
    check([[1], [0]], classes=(TUMOUR,))
    with pytest.raises(ProjectError, match="only class, 'tumour', is present"):
        check([[1], [-1]], classes=(TUMOUR,))


def test_labels_that_teach_nothing_are_told(store, tmp_path):
    add_images(store, tmp_path / "images", ["a.png", "b.png", "c.png", "d.png"])
    assert find_doubts(store) == ()
    states = np.array([[1, 1], [1, 1], [1, 0], [-1, -1]], np.int8)
    store.set_labels(store.tiles().ids, states)
    assert find_doubts(store) == ()
    store.set_splits(np.array([3]), ["val"])
    assert find_doubts(store)[0].startswith("Every class is present in every labeled")
    store.set_splits(np.array([2]), ["val"])
    assert find_doubts(store) == ()
