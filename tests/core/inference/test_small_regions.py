from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segmix_core.inference.small_regions import (
    area_in_pixels,
    fill_small_holes,
    ignore_small_objects,
)


def test_small_objects_are_ignored():
    mask = np.ones((6, 6), np.uint8)
    mask[0, 0] = mask[1, 1] = 2
    mask[4:, 4:] = 0
    mask[5, 5] = 255
    expected = mask.copy()
    expected[0, 0] = expected[1, 1] = 255
    np.testing.assert_array_equal(ignore_small_objects(mask, 3), expected)
    expected[4:, 4:] = 255
    np.testing.assert_array_equal(ignore_small_objects(mask, 4), expected)
    np.testing.assert_array_equal(ignore_small_objects(mask, 0), mask)
    all_ignored = np.full((2, 2), 255, np.uint8)
    np.testing.assert_array_equal(ignore_small_objects(all_ignored, 9), all_ignored)


def _flood(is_gap, start):
    """Pixels that 8 neighbors of gap connect, one by one."""
    found, waiting = {start}, [start]
    while waiting:
        y, x = waiting.pop()
        for place in product((y - 1, y, y + 1), (x - 1, x, x + 1)):
            inside = all(0 <= p < n for p, n in zip(place, is_gap.shape, strict=True))
            if inside and is_gap[place] and place not in found:
                found.add(place)
                waiting.append(place)
    return found


def _reference_fill(mask, min_px):
    """Slow twin: every pixel floods its own hole."""
    height, width = mask.shape
    result = mask.copy()
    for value in range(1, 255):
        former = result.copy()
        for y, x in np.ndindex(mask.shape):
            if former[y, x] == value or value not in mask:
                continue
            hole = _flood(former != value, (y, x))
            is_open = any(
                row in (0, height - 1) or col in (0, width - 1) for row, col in hole
            )
            if not is_open and len(hole) < min_px:
                result[y, x] = value
    return result


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), min_px=st.sampled_from([2, 3, 5, 12, 50]))
def test_filled_holes_equal_the_slow_twin(seed, min_px):
    rng = np.random.default_rng(seed)
    values = np.array([0, 1, 2, 255], np.uint8)
    mask = rng.choice(values, (9, 8), p=[0.1, 0.6, 0.2, 0.1])
    before = mask.copy()
    found = fill_small_holes(mask, min_px)
    np.testing.assert_array_equal(found, _reference_fill(mask, min_px))
    np.testing.assert_array_equal(mask, before)


def test_all_holes_of_one_class_are_those_of_scipy():
    mask = (np.random.default_rng(1).random((60, 70)) < 0.62).astype(np.uint8) * 3
    found = fill_small_holes(mask, mask.size)
    # Scipy's structure connects the background; holes are 8-connected here.
    eight = np.ones((3, 3), bool)
    expected = ndimage.binary_fill_holes(mask == 3, eight)
    np.testing.assert_array_equal(found == 3, expected)
    assert (found != mask).any()


def test_a_hole_between_two_classes_stays():
    mask = np.ones((5, 6), np.uint8)
    mask[:, 3:] = 2
    mask[2, 2:4] = 0
    np.testing.assert_array_equal(fill_small_holes(mask, 100), mask)


def test_a_hole_at_the_border_and_a_speck_in_the_background_stay():
    mask = np.ones((4, 4), np.uint8)
    mask[0, 1] = 0
    np.testing.assert_array_equal(fill_small_holes(mask, 100), mask)
    speck = np.zeros((5, 5), np.uint8)
    speck[2, 2] = 1
    np.testing.assert_array_equal(fill_small_holes(speck, 100), speck)


def test_of_holes_in_holes_the_outermost_small_one_decides():
    mask = np.ones((9, 9), np.uint8)
    mask[2:7, 2:7] = 2
    mask[4, 4] = 0
    assert fill_small_holes(mask, 2)[4, 4] == 2
    assert (fill_small_holes(mask, 2)[2:7, 2:7] == 2).all()
    assert (fill_small_holes(mask, 26) == 1).all()


@pytest.mark.parametrize(
    ("um2", "mpp", "pixels"),
    [
        (25.0, 0.5, 100),
        (25.1, 0.5, 101),
        (4.9, 0.7, 10),
        (0.0, 0.5, 0),
        (None, 0.5, 64),
        (25.0, None, 64),
    ],
)
def test_areas_in_pixels(um2, mpp, pixels):
    assert area_in_pixels(um2, 64, mpp) == pixels
