import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmix_core.geometry import Box
from segmix_core.project.records import TilingPlan
from segmix_core.slides.tiling import plan_grid, working_downsample


@pytest.mark.parametrize(
    ("slide", "wanted", "expected"),
    [
        (0.25, 0.5, 2.0),
        (0.2525, 0.5, 2.0),
        (0.5, 0.25, 1.0),
        (0.499, 0.5, 1.0),
        (0.3, 0.5, 0.5 / 0.3),
        (0.25, 8.0, 32.0),
    ],
)
def test_downsample_snaps_to_whole_numbers(slide, wanted, expected):
    assert working_downsample(slide, wanted) == expected


@pytest.mark.parametrize("sizes", [(0, 0.5), (0.5, -1)])
def test_pixel_sizes_are_positive(sizes):
    with pytest.raises(ValueError, match="must be > 0"):
        working_downsample(*sizes)


@pytest.mark.parametrize(
    ("length", "count"), [(10, 1), (64, 1), (95, 1), (96, 2), (128, 2), (160, 3)]
)
def test_a_tile_is_kept_if_half_of_it_lies_inside(length, count):
    grid = plan_grid((length, 64), 1.0, TilingPlan(64, 64))
    assert len(grid) == count
    assert grid.rows.tolist() == list(range(count))
    assert set(grid.boxes[:, 2]) == {64}


@given(st.floats(1, 9), st.integers(8, 60), st.integers(8, 60), st.integers(50, 900))
def test_boxes_are_working_boxes_scaled(downsample, tile_px, stride_px, length):
    grid = plan_grid((length, 500), downsample, TilingPlan(tile_px, stride_px))
    for row, col, box in zip(grid.rows, grid.cols, grid.boxes, strict=True):
        working = Box(int(row) * stride_px, int(col) * stride_px, tile_px, tile_px)
        assert Box(*(int(v) for v in box)) == working.scaled(downsample)


def test_take_keeps_columns_together():
    grid = plan_grid((128, 128), 1.0, TilingPlan(64, 64))
    part = grid.take(np.array([False, True, False, True]))
    assert part.rows.tolist() == [0, 1]
    assert part.cols.tolist() == [1, 1]
    assert part.boxes[:, 1].tolist() == [64, 64]


@pytest.mark.parametrize(
    ("shape", "downsample", "plan"),
    [
        ((0, 5), 1.0, TilingPlan(8, 8)),
        ((5, 5), 0.5, TilingPlan(8, 8)),
        ((5, 5), 1.0, TilingPlan(0, 8)),
        ((5, 5), 1.0, TilingPlan(8, 0)),
    ],
)
def test_sizes_are_positive(shape, downsample, plan):
    with pytest.raises(ValueError, match="must be >= 1"):
        plan_grid(shape, downsample, plan)
