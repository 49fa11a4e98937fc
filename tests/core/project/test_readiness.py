import numpy as np
import pytest

from segmix_core.errors import ProjectError
from segmix_core.project.readiness import check_labels
from segmix_core.project.records import TissueClass

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
        ([[-1, -1]], None, "labelled tiles, but got none"),
        ([[1, 0], [0, -1]], None, "no tile labelled 'stroma'"),
        ([[0, 0]], None, "no tile labelled 'tumour', 'stroma'"),
        ([[1, 0], [0, 1]], [True, False], "no tile labelled 'stroma'"),
        ([[1, 0], [0, 1]], [False, False], "2 labelled tiles, all in other splits"),
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
    with pytest.raises(ProjectError, match="at least two classes"):
        check([[1], [-1]], classes=(TUMOUR,))
