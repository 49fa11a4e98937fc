import math
import random

import numpy as np
import pytest

from benchmarks.quality.paired import (
    bootstrap_interval,
    mean_iou,
    paired_differences,
)

NAMES = ("tp", "fp", "fn", "tn")


def slow_mean_iou(images):
    """Of images as (tp, fp, fn, tn), pixel sums first."""
    tp, fp, fn, tn = (sum(image[n] for image in images) for n in range(4))
    sides = [hit / (hit + fp + fn) for hit in (tp, tn) if hit + fp + fn]
    return sum(sides) / len(sides) if sides else math.nan


def make_row(method, seed, images, scored="maps"):
    return {
        "method": method,
        "seed": seed,
        "scored": scored,
        "mean_iou": slow_mean_iou(images),
        "counts": {name: [i[n] for i in images] for n, name in enumerate(NAMES)},
    }


def images_of(seed, count=12, good=5):
    rng = np.random.default_rng(seed)
    return [
        (int(a) + good, int(b), int(c), int(d))
        for a, b, c, d in rng.integers(1, 60, (count, 4))
    ]


def test_differences_are_taken_seed_by_seed():
    rows = [
        make_row(method, seed, images_of(10 * seed + good, good=good), scored)
        for method, good in (("cam", 5), ("segmix", 40), ("full", 90))
        for seed in (0, 1, 2)
        for scored in ("maps", "segmenter")
        if (method, seed, scored) != ("full", 1, "maps")
    ]
    rows.append({"method": "disc", "seed": None, "scored": "trivial", "mean_iou": 0.1})
    found = paired_differences(rows, "cam", [""] * 12)
    assert [(d.method, d.scored) for d in found] == [
        ("segmix", "maps"),
        ("segmix", "segmenter"),
        ("full", "maps"),
        ("full", "segmenter"),
    ]
    iou = {(r["method"], r["scored"], r["seed"]): r["mean_iou"] for r in rows}
    for entry in found:
        assert entry.seeds == ((0, 2) if entry == found[2] else (0, 1, 2))
        expected = [
            iou[entry.method, entry.scored, s] - iou["cam", entry.scored, s]
            for s in entry.seeds
        ]
        assert entry.by_seed == pytest.approx(expected)
        assert entry.mean == pytest.approx(sum(expected) / len(expected))
        squares = sum((value - entry.mean) ** 2 for value in expected)
        assert entry.sd == pytest.approx(math.sqrt(squares / (len(expected) - 1)))
        low, high = entry.interval
        assert low < entry.mean < high
        assert entry.to_json()["against"] == "cam"


def test_one_seed_has_no_deviation_and_no_counts_no_interval():
    rows = [make_row("cam", 3, images_of(0)), make_row("seam", 3, images_of(1))]
    for row in rows:
        del row["counts"], row["scored"]
    (found,) = paired_differences(rows, "cam")
    assert found.sd is None
    assert found.interval is None
    assert found.scored == "maps"
    assert paired_differences(rows, "segmix") == []
    rows[0]["seed"] = 4
    assert paired_differences(rows, "cam") == []


@pytest.mark.parametrize("groups", [[""] * 12, list("aabbbc") + [""] * 6])
def test_the_interval_equals_the_slow_twin(groups):
    seeds = [(images_of(n), images_of(50 + n)) for n in range(3)]
    pairs = [(make_row("a", 0, one), make_row("b", 0, two)) for one, two in seeds]
    # Each image that is alone, and each named group, is one thing to draw.
    bags = [[n for n, g in enumerate(groups) if g == name] for name in "abc"]
    bags = [bag for bag in bags if bag]
    bags += [[n] for n, group in enumerate(groups) if not group]
    draw = random.Random(1)
    means = []
    for _ in range(4000):
        drawn = [n for bag in draw.choices(bags, k=len(bags)) for n in bag]
        differences = [
            slow_mean_iou([one[n] for n in drawn])
            - slow_mean_iou([two[n] for n in drawn])
            for one, two in seeds
        ]
        means.append(sum(differences) / 3)
    means.sort()
    low, high = bootstrap_interval(pairs, groups)
    width = high - low
    assert low == pytest.approx(means[100], abs=0.08 * width)
    assert high == pytest.approx(means[3899], abs=0.08 * width)
    assert bootstrap_interval(pairs, groups) == (low, high)


def test_equal_rows_have_an_interval_of_nothing():
    row = make_row("a", 0, images_of(0))
    assert bootstrap_interval([(row, row)], [""] * 12) == (0, 0)
    assert bootstrap_interval([(row, row)], ["case"] * 12) is None


def test_mean_iou_equals_the_slow_twin():
    counts = [*images_of(0), (0, 0, 0, 9), (4, 0, 0, 0), (0, 3, 2, 0), (0, 0, 0, 0)]
    found = mean_iou(np.array(counts, float))
    expected = [slow_mean_iou([image]) for image in counts]
    assert found == pytest.approx(expected, nan_ok=True)
