import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmix_core.geometry import Box
from segmix_core.slides import region
from segmix_core.slides.open_slide import open_slide
from segmix_core.slides.region import area_resize, best_level, read_region
from tests.reference import area


@settings(max_examples=25, deadline=None)
@given(
    rows=st.tuples(st.floats(0, 4), st.floats(5, 11)),
    cols=st.tuples(st.floats(0, 4), st.floats(5, 13)),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 7)),
)
def test_area_average_equals_the_slow_one(rows, cols, shape):
    pixels = np.random.default_rng(1).integers(0, 256, (11, 13, 3), dtype=np.uint8)
    result = area_resize(pixels, rows, cols, shape)
    expected = area.shrink(pixels, rows, cols, shape)
    assert np.abs(result - expected).max() <= 0.51


def test_enlarging_repeats_pixels():
    pixels = np.uint8([[[0, 0, 0], [200, 200, 200]]])
    result = area_resize(pixels, (0, 1), (0, 2), (1, 4))
    assert result[0, :, 0].tolist() == [0, 0, 200, 200]


@pytest.fixture
def slide(write_pyramid):
    slide = open_slide(write_pyramid())
    yield slide
    slide.close()


@pytest.mark.parametrize("box", [Box(0, 0, 64, 64), Box(13, 27, 101, 55)])
def test_a_region_at_its_own_size_is_unchanged(slide, rgb, box):
    result = read_region(slide, box, (box.height, box.width))
    np.testing.assert_array_equal(result, rgb[box.slices])


def test_a_stored_level_is_returned_as_it_is(slide, rgb):
    result = read_region(slide, Box(40, 80, 160, 200), (80, 100))
    np.testing.assert_array_equal(result, rgb[::2, ::2][20:100, 40:140])


def test_a_fractional_factor_averages_the_finer_level(slide, rgb):
    result = read_region(slide, Box(6, 9, 24, 18), (16, 12))
    expected = area.shrink(rgb[6:30, 9:27], (0, 24), (0, 18), (16, 12))
    assert np.abs(result - expected).max() <= 0.51


@pytest.mark.parametrize(
    ("downsample", "level"), [(0.5, 0), (1, 0), (1.9, 0), (2, 1), (3.9, 1), (50, 2)]
)
def test_the_coarsest_level_with_enough_detail_is_read(slide, downsample, level):
    assert best_level(slide, downsample) == level


def test_outside_is_white(slide):
    result = read_region(slide, Box(-64, -64, 128, 128), (64, 64))
    assert result[:32].min() == result[:, :32].min() == 255
    assert result[32:, 32:].mean() < 160
    assert read_region(slide, Box(9000, 0, 8, 8), (4, 4)).min() == 255


def test_large_regions_are_read_in_bands(slide, monkeypatch):
    box, shape = Box(-3, 5, 290, 377), (67, 91)
    whole = read_region(slide, box, shape)
    monkeypatch.setattr(region, "_MAX_READ_PIXELS", 5000)
    difference = np.abs(read_region(slide, box, shape).astype(int) - whole)
    assert difference.max() <= 1


@pytest.mark.parametrize(
    ("box", "shape"), [(Box(0, 0, 0, 5), (1, 1)), (Box(0, 0, 5, 5), (0, 1))]
)
def test_nothing_to_read_is_an_error(slide, box, shape):
    with pytest.raises(ValueError, match="There are no pixels"):
        read_region(slide, box, shape)
