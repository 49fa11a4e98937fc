"""Arrays that a program hands over: one form, or two sentences on what is wrong."""

import numpy as np
import pytest
import torch

from segmix_core.data.arrays import as_labels, as_mask, as_rgb
from segmix_core.errors import DataError

RNG = np.random.default_rng(0)


def test_layouts_and_types_mean_the_same_images():
    expected = RNG.integers(0, 256, (2, 8, 6, 3), dtype=np.uint8)
    first = expected.transpose(0, 3, 1, 2)
    forms = [
        expected,
        first,
        torch.from_numpy(first.copy()),
        expected / np.float32(255),
        torch.from_numpy(first.copy()).float() / 255,
        torch.from_numpy(first.copy()).double() / 255,
    ]
    for form in forms:
        found = as_rgb(form)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.uint8
        assert found.flags.c_contiguous


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        (np.zeros((8, 8, 3)), r"not RGB images: their shape is \(8, 8, 3\)"),
        (np.zeros((2, 8, 8, 4)), "not RGB images"),
        (np.zeros((2, 3, 8, 3)), "not RGB images"),
        (np.zeros((0, 3, 8, 8)), "empty"),
        (np.zeros((2, 3, 8, 8), np.int64), "cannot be int64"),
        (np.full((2, 3, 8, 8), 255.0), "reach from 255 to 255"),
        (np.full((2, 3, 8, 8), -0.1), "must be in 0..1"),
        (np.full((2, 3, 8, 8), np.nan), "NaN or infinite"),
        ("pixels", "not RGB images"),
    ],
)
def test_what_is_no_image_is_refused(images, problem):
    with pytest.raises(DataError, match=problem):
        as_rgb(images)


@pytest.mark.parametrize("kind", [np.int64, np.float32, np.int8])
def test_labels_of_any_number_type(kind):
    states = np.array([[1, 0, -1], [0, 1, 0]], kind)
    found = as_labels(torch.from_numpy(states), 2, 3)
    assert found.dtype == np.int8
    assert found.tolist() == [[1, 0, -1], [0, 1, 0]]
    assert as_labels(np.array([[True, False]]), 1, 2).tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ([0, 1], r"shape \(2, 2\), not \(2,\)"),
        ([[1, 0, 0], [0, 1, 0]], r"\(2, 2\), not \(2, 3\)"),
        ([[0.5, 0], [0, 1]], "not 1, 0 or -1"),
        ([[2, 0], [0, 1]], "not 1, 0 or -1"),
        ([[np.nan, 0], [0, 1]], "not 1, 0 or -1"),
    ],
)
def test_what_is_no_label_is_refused(labels, problem):
    with pytest.raises(DataError, match=problem):
        as_labels(labels, 2, 2)


def test_masks_are_checked():
    mask = np.array([[0, 1], [2, 255]], np.int64)
    assert as_mask(mask, (2, 2), 2).dtype == np.uint8
    with pytest.raises(DataError, match=r"\(2, 2\), but its image \(2, 3\)"):
        as_mask(mask, (2, 3), 2)
    with pytest.raises(DataError, match="the value 2, which is no class"):
        as_mask(mask, (2, 2), 1)
    with pytest.raises(DataError, match="the value -1"):
        as_mask(mask - 1, (2, 2), 2)
