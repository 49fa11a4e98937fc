import tracemalloc
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmix_core.export import label_strips
from segmix_core.export.label_strips import (
    STRIP_ROWS,
    HalfSizeSpool,
    strips_from_boxes,
    tiles_of,
)
from segmix_core.geometry import Box


def _reference_paint(boxes, shape, fill):
    """Slow twin: the whole map in memory, pixel by pixel."""
    labels = np.full(shape, fill, np.uint8)
    for box, values in boxes:
        for y in range(box.height):
            for x in range(box.width):
                row, col = box.y + y, box.x + x
                if 0 <= row < shape[0] and 0 <= col < shape[1]:
                    labels[row, col] = values[y, x]
    return labels


_boxes = st.lists(
    st.builds(
        Box,
        st.integers(-9, 60),
        st.integers(-9, 30),
        st.integers(0, 25),
        st.integers(0, 25),
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(boxes=_boxes, height=st.integers(1, 50), width=st.integers(1, 25))
def test_strips_equal_the_whole_map(boxes, height, width):
    filled = [
        (box, np.full((box.height, box.width), index, np.uint8))
        for index, box in enumerate(sorted(boxes, key=lambda box: box.y))
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_strips, "STRIP_ROWS", 8)
        strips = list(strips_from_boxes(filled, (height, width), 255))
    assert {len(strip) for strip in strips[:-1]} <= {8}
    expected = _reference_paint(filled, (height, width), 255)
    np.testing.assert_array_equal(np.concatenate(strips), expected)


def test_boxes_must_come_top_to_bottom():
    boxes = [(Box(y, 0, 1, 1), np.zeros((1, 1), np.uint8)) for y in (5, 4)]
    with pytest.raises(ValueError, match="top to bottom"):
        list(strips_from_boxes(boxes, (9, 9), 0))


def test_labels_must_fit_their_box():
    boxes = [(Box(0, 0, 2, 3), np.zeros((3, 2), np.uint8))]
    with pytest.raises(ValueError, match="do not match"):
        list(strips_from_boxes(boxes, (9, 9), 0))


def test_tiles_are_whole_and_in_order():
    strip = np.ones((10, STRIP_ROWS + 3), np.uint8)
    first, second = tiles_of([strip])
    assert first.shape == second.shape == (STRIP_ROWS, STRIP_ROWS)
    assert first.sum() == 10 * STRIP_ROWS
    assert second.sum() == second[:10, :3].sum() == 30


def test_spool_halves_and_joins(tmp_path):
    labels = np.random.default_rng(0).integers(0, 9, (1300, 35), dtype=np.uint8)
    strips = [labels[y : y + STRIP_ROWS] for y in range(0, 1300, STRIP_ROWS)]
    with closing(HalfSizeSpool(tmp_path)) as spool:
        for given_strip, passed in zip(strips, spool.passing(strips), strict=True):
            np.testing.assert_array_equal(passed, given_strip)
        halves = list(spool.strips())
    assert [len(half) for half in halves] == [512, 138]
    np.testing.assert_array_equal(np.concatenate(halves), labels[::2, ::2])
    assert list(tmp_path.iterdir()) == []


def test_memory_is_a_few_strips():
    width, count = 4000, 40
    band = np.zeros((STRIP_ROWS, width), np.uint8)
    boxes = ((Box(y * STRIP_ROWS, 0, *band.shape), band) for y in range(count))
    tracemalloc.start()
    for _ in strips_from_boxes(boxes, (count * STRIP_ROWS, width), 0):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * band.nbytes
