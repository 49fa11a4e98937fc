from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmix_core.geometry import Box
from segmix_core.inference.cam_canvas import CamCanvas, any_overlap

STRIDE = 8


def _reference_mean(tiles, shape, num_classes):
    """Slow twin: every cell collects its values in a list."""
    cells = [
        [[[] for _ in range(shape[1])] for _ in range(shape[0])]
        for _ in range(num_classes)
    ]
    for cam, box in tiles:
        for c, y, x in np.ndindex(cam.shape):
            cells[c][box.y // STRIDE + y][box.x // STRIDE + x].append(cam[c, y, x])
    mean = [
        [[np.mean(cell) if cell else 0 for cell in row] for row in plane]
        for plane in cells
    ]
    return np.array(mean)


def test_overlapping_tiles_are_averaged():
    rng = np.random.default_rng(0)
    tiles = [
        (rng.random((2, 4, 4)), Box(y, x, 32, 32)) for y in (0, 16) for x in (0, 16, 32)
    ]
    canvas = CamCanvas(Box(0, 0, 64, 64), 2, STRIDE)
    for cam, box in tiles:
        canvas.add(cam, box)
    result = canvas.read(Box(0, 0, 64, 64))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, _reference_mean(tiles, (8, 8), 2), atol=1e-6)


def test_a_lonely_tile_comes_back_as_it_was():
    cam = np.random.default_rng(0).random((1, 13, 13)).astype(np.float32)
    box = Box(4, 4, 100, 100)
    canvas = CamCanvas(Box(0, 0, 104, 104), 1, STRIDE)
    canvas.add(cam, box)
    np.testing.assert_array_equal(canvas.read(box), cam)


def test_absent_labels_take_a_class_away():
    canvas = CamCanvas(Box(0, 0, 32, 48), 2, STRIDE)
    ones = np.ones((2, 4, 4), np.float32)
    canvas.add(ones, Box(0, 0, 32, 32), np.array([1, 0]))
    canvas.add(ones, Box(0, 16, 32, 32), np.array([-1, 1]))
    result = canvas.read(Box(0, 0, 32, 48))[:, 0]
    assert result.tolist() == [[1, 1, 1, 1, 1, 1], [0, 0, 0.5, 0.5, 1, 1]]


def test_bands_equal_the_whole():
    rng = np.random.default_rng(0)
    tiles = [(rng.random((1, 4, 4)), Box(y, 0, 32, 32)) for y in (0, 16, 32, 48)]
    whole, band = (
        CamCanvas(box, 1, STRIDE) for box in (Box(0, 0, 80, 32), Box(32, 0, 32, 32))
    )
    for cam, box in tiles:
        whole.add(cam, box)
        band.add(cam, box)
    inner = Box(32, 0, 32, 32)
    np.testing.assert_array_equal(band.read(inner), whole.read(inner))


def test_padding_of_a_tile_is_cut_off():
    canvas = CamCanvas(Box(0, 0, 40, 40), 1, STRIDE)
    canvas.add(np.ones((1, 4, 4), np.float32), Box(0, 0, 16, 16))
    canvas.add(np.ones((1, 4, 4), np.float32), Box(800, 0, 16, 16))
    assert canvas.read(Box(0, 0, 40, 40)).sum() == 4


def test_reading_outside_is_refused():
    with pytest.raises(ValueError, match="not inside the region"):
        CamCanvas(Box(0, 0, 40, 40), 1, STRIDE).read(Box(0, 32, 32, 32))


def test_stride_must_be_positive():
    with pytest.raises(ValueError, match="stride > 0"):
        CamCanvas(Box(0, 0, 4, 4), 1, 0)


@settings(max_examples=200, deadline=None)
@given(
    places=st.lists(
        st.tuples(*[st.integers(-5, 25)] * 2, *[st.integers(0, 9)] * 2), max_size=6
    )
)
def test_overlap_is_that_of_all_pairs(places):
    boxes = [Box(*place) for place in places]
    pairs = combinations(boxes, 2)
    assert any_overlap(boxes) == any(a.intersect(b).area > 0 for a, b in pairs)


def test_free_windows_overlap_without_being_neighbors_in_any_order():
    window, far = Box(0, 10, 100, 50), Box(90, 50, 20, 20)
    between = [Box(5, 200, 9, 9), Box(300, 20, 9, 9)]
    assert any_overlap([window, *between, far])
    assert not any_overlap([window, *between])
