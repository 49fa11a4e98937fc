import json
import math

import numpy as np
import pytest

from benchmarks.quality.scores import Scorer

PAIRS = ((True, True), (False, True), (True, False), (False, False))


def slow_iou(pairs, value):
    """Pixel by pixel: how often both say ``value``, by how often one does."""
    both = one = 0
    for truth, found in pairs:
        for a, b in zip(truth.ravel(), found.ravel(), strict=True):
            both += bool(a) == bool(b) == value
            one += bool(a) == value or bool(b) == value
    return both / one if one else math.nan


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    return [
        (name, rng.random((5, 7)) < share, rng.random((5, 7)) < 0.5)
        for name, share in (("a", 0.2), ("b", 0.7), ("a", 0.9), ("b", 0.4))
    ]


def test_scores_equal_the_slow_twin(pairs):
    scorer = Scorer()
    for group, truth, found in pairs:
        scorer.add(group, truth, found)
    scores = scorer.result()
    groups = {"all": pairs} | {g: [p for p in pairs if p[0] == g] for g in "ab"}
    for name, group in groups.items():
        entry = scores.all if name == "all" else scores.by_class[name]
        plain = [pair[1:] for pair in group]
        inner, outer = slow_iou(plain, True), slow_iou(plain, False)
        assert entry.foreground_iou == pytest.approx(inner)
        assert entry.background_iou == pytest.approx(outer)
        assert entry.mean_iou == pytest.approx((inner + outer) / 2)
        assert entry.dice == pytest.approx(2 * inner / (1 + inner))
        single = [(slow_iou([p], True) + slow_iou([p], False)) / 2 for p in plain]
        assert entry.image_mean_iou == pytest.approx(np.mean(single))
    for counts, (_, truth, found) in zip(scores.counts, pairs, strict=True):
        pixels = list(zip(truth.ravel(), found.ravel(), strict=True))
        expected = [pixels.count(pair) for pair in PAIRS]
        assert [counts.tp, counts.fp, counts.fn, counts.tn] == expected
    means = [entry.mean_iou for entry in scores.by_class.values()]
    assert scores.class_mean_iou == pytest.approx(np.mean(means))


def test_what_cannot_be_scored_is_null_in_json():
    scorer = Scorer()
    empty = np.zeros((3, 3), bool)
    scorer.add("a", empty, empty)
    found = scorer.result().to_json()
    assert found["counts"] == {"tp": [0], "fp": [0], "fn": [0], "tn": [9]}
    assert found["foreground_iou"] is None
    assert found["dice"] is None
    assert found["mean_iou"] == found["background_iou"] == 1
    assert "NaN" not in json.dumps(found)
