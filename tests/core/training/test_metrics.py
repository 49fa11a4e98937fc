import runpy
from pathlib import Path

import numpy as np
import pytest

from segmix_core.training.metrics import ConfusionMatrix, image_mean_iou

_REFERENCE = Path(__file__).parents[2] / "reference" / "confusion.py"
reference_scores = runpy.run_path(str(_REFERENCE))["scores"]


def _pairs(seed, count=2, num_classes=3, values=(0, 1, 2, 3, 255)):
    rng = np.random.default_rng(seed)
    allowed = np.array(values, np.uint8)
    return [
        (rng.choice(allowed, (5, 6)), rng.choice(allowed, (5, 6))) for _ in range(count)
    ]


def _matrix(pairs, num_classes=3):
    matrix = ConfusionMatrix(num_classes)
    for truth, prediction in pairs:
        matrix.update(truth, prediction)
    return matrix


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("values", [(0, 1, 2, 3, 255), (1, 3), (0, 255), (2,)])
def test_scores_equal_the_slow_twin(seed, values):
    pairs = _pairs(seed, values=values)
    matrix = _matrix(pairs)
    expected = [reference_scores(pairs, lambda v, c=c: v == c) for c in range(4)]
    np.testing.assert_allclose(matrix.iou, [iou for iou, _ in expected])
    np.testing.assert_allclose(matrix.dice, [dice for _, dice in expected])
    foreground, _ = reference_scores(pairs, lambda v: v in (1, 2, 3))
    background, _ = reference_scores(pairs, lambda v: v == 0)
    np.testing.assert_allclose(matrix.foreground_iou, foreground)
    np.testing.assert_allclose(matrix.background_iou, background)


def test_scores_equal_scikit_learn():
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    ((truth, prediction),) = _pairs(0, count=1, values=(0, 1, 2, 3))
    matrix = _matrix([(truth, prediction)])
    arguments = {"labels": range(4), "average": None}
    jaccard = sklearn_metrics.jaccard_score(
        truth.ravel(), prediction.ravel(), **arguments
    )
    f1 = sklearn_metrics.f1_score(truth.ravel(), prediction.ravel(), **arguments)
    counts = sklearn_metrics.confusion_matrix(truth.ravel(), prediction.ravel())
    np.testing.assert_allclose(matrix.iou, jaccard)
    np.testing.assert_allclose(matrix.dice, f1)
    np.testing.assert_array_equal(matrix.counts[:, :-1], counts)


def test_means_leave_out_classes_that_do_not_occur():
    truth = np.array([[0, 0, 1, 1]], np.uint8)
    prediction = np.array([[0, 1, 1, 1]], np.uint8)
    matrix = _matrix([(truth, prediction)])
    np.testing.assert_allclose(matrix.iou, [1 / 2, 2 / 3, np.nan, np.nan])
    assert matrix.mean_iou == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert matrix.mean_dice == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_a_false_class_lowers_the_mean():
    truth = np.array([[1, 1]], np.uint8)
    assert _matrix([(truth, np.array([[1, 2]], np.uint8))]).mean_iou == 0.25


def test_no_answer_is_a_miss_and_is_reported():
    truth = np.array([[1, 1, 0, 0]], np.uint8)
    prediction = np.array([[1, 255, 0, 0]], np.uint8)
    matrix = _matrix([(truth, prediction)])
    assert matrix.iou[:2].tolist() == [1.0, 0.5]
    assert matrix.foreground_iou == 0.5
    assert matrix.answered == 0.75


def test_ignored_truth_is_not_counted():
    truth = np.array([[1, 4, 255]], np.uint8)
    matrix = ConfusionMatrix(1)
    matrix.update(truth[:, :2], np.array([[1, 0]], np.uint8), ignore=4)
    matrix.update(truth[:, 2:], np.array([[0]], np.uint8))
    assert matrix.counts.sum() == matrix.counts[1, 1] == 1


def test_matrices_add_up():
    pairs = _pairs(3, count=2)
    parts = _matrix(pairs[:1]) + _matrix(pairs[1:])
    np.testing.assert_array_equal(parts.counts, _matrix(pairs).counts)
    with pytest.raises(ValueError, match="classes differ: 3, 2"):
        _matrix([]) + ConfusionMatrix(2)


def score(pairs, ignore=255):
    matrix = ConfusionMatrix(1)
    for truth, prediction in pairs:
        matrix.update(truth, prediction, ignore)
    return matrix.iou


def test_empty_matrix_has_no_score():
    matrix = ConfusionMatrix(2)
    assert np.isnan(matrix.iou).all()
    for score in (matrix.mean_iou, matrix.foreground_iou, matrix.answered):
        assert np.isnan(score)


def test_dataset_and_image_scores_differ_as_their_names_say():
    large = (np.ones((1, 9), np.uint8), np.ones((1, 9), np.uint8))
    small = (np.ones((1, 1), np.uint8), np.zeros((1, 1), np.uint8))
    nothing = (np.full((1, 1), 255, np.uint8), np.ones((1, 1), np.uint8))
    pairs = [large, small, nothing]
    np.testing.assert_allclose(score(pairs), [0.0, 0.9])
    assert image_mean_iou(pairs, 1) == 0.5
    assert np.isnan(image_mean_iou([], 1))
    ignored = [(np.array([[1, 0]], np.uint8), np.array([[1, 1]], np.uint8))]
    assert score(ignored, ignore=0)[1] == 1
    assert image_mean_iou(ignored, 1, ignore=0) == 1


def test_bad_input_is_refused():
    matrix = ConfusionMatrix(2)
    masks = {value: np.full((2, 2), value, np.uint8) for value in (0, 3)}
    with pytest.raises(ValueError, match="shapes of the masks differ"):
        matrix.update(masks[0], masks[0][:1])
    with pytest.raises(ValueError, match="Unexpected value 3 in truth"):
        matrix.update(masks[3], masks[0])
    with pytest.raises(ValueError, match="Unexpected value 3 in prediction"):
        matrix.update(masks[0], masks[3])
    with pytest.raises(ValueError, match="num_classes must be >= 1"):
        ConfusionMatrix(0)
    assert not matrix.counts.any()
