from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmix_core.inference.windows import (
    count_windows,
    fading_weights,
    window_rows,
    window_starts,
)


@given(st.integers(1, 500), st.integers(2, 64), st.integers(0, 63))
def test_windows_cover_the_edge_and_overlap_enough(length, window, overlap):
    overlap = min(overlap, window - 1)
    starts = window_starts(length, window, overlap)
    assert starts[0] == 0
    if length <= window:
        assert starts == [0]
        return
    assert starts[-1] == length - window
    steps = np.diff(starts)
    assert steps.min() >= 1
    assert steps.max() <= window - overlap
    fewest = -(-(length - overlap) // (window - overlap))
    assert len(starts) == fewest


@pytest.mark.parametrize("shape", [(50, 20), (100, 75), (32, 32), (5, 5)])
def test_rows_of_windows_lie_inside_and_bands_cover_the_image(shape):
    rows = list(window_rows(shape, 32, 8))
    windows = [window for _, row in rows for window in row]
    size = (min(shape[0], 32), min(shape[1], 32))
    assert {(window.height, window.width) for window in windows} == {size}
    assert max(window.bottom for window in windows) == shape[0]
    assert max(window.right for window in windows) == shape[1]
    assert len(windows) == count_windows(shape, 32, 8)
    bands = [band for band, _ in rows]
    assert bands[0].y == 0
    assert bands[-1].bottom == shape[0]
    for above, below in pairwise(rows):
        assert above[0].bottom == below[0].y == below[1][0].y


def test_weights_of_neighbors_add_up_to_one():
    ramp = fading_weights((30, 1), 8)[:, 0] / fading_weights((30, 1), 8)[:, 0].max()
    np.testing.assert_allclose(ramp[-8:] + ramp[:8], 1, atol=1e-6)
    assert (ramp[8:-8] == 1).all()


@pytest.mark.parametrize("overlap", [0, 5, 20])
def test_weights_are_positive_and_symmetric(overlap):
    weights = fading_weights((12, 17), overlap)
    assert weights.dtype == np.float32
    assert weights.min() > 0
    assert weights.max() <= 1
    np.testing.assert_array_equal(weights, weights[::-1, ::-1])
    if overlap == 0:
        assert (weights == 1).all()
