import numpy as np
import pytest

from segmix_core.geometry import Box, read_inside

SHAPE = (9, 7)
INSIDE, PARTLY = Box(2, 1, 3, 4), Box(-2, 4, 5, 9)


@pytest.mark.parametrize("outside", [255, 3, (1, 2, 3)])
@pytest.mark.parametrize(
    "box", [INSIDE, PARTLY, Box(0, 0, *SHAPE), Box(-3, -3, 20, 20)]
)
def test_a_box_beyond_its_image_is_filled(box, outside):
    channels = np.shape(outside)
    rng = np.random.default_rng(1)
    image = rng.integers(0, 255, (*SHAPE, *channels), dtype=np.uint8)
    around = np.empty((49, 47, *channels), np.uint8)
    around[:] = outside
    around[20:29, 20:27] = image
    found = read_inside(box, SHAPE, lambda part: image[part.slices], outside)
    np.testing.assert_array_equal(found, around[box.moved(20, 20).slices])


@pytest.mark.parametrize("box", [Box(9, 0, 2, 3), Box(0, -5, 2, 5), Box(3, 3, 0, 2)])
def test_nothing_is_read_where_there_is_no_image(box):
    found = read_inside(box, SHAPE, lambda _: pytest.fail("read"), 7)
    assert found.shape == (box.height, box.width)
    assert (found == 7).all()


def test_a_box_knows_its_place_in_another():
    values = np.arange(63).reshape(SHAPE)
    part = values[PARTLY.intersect(Box(0, 0, *SHAPE)).slices]
    inner = Box(1, 5, 2, 1)
    place = inner.slices_in(PARTLY.intersect(Box(0, 0, *SHAPE)))
    np.testing.assert_array_equal(part[place], values[inner.slices])
