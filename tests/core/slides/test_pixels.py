from pathlib import Path

import numpy as np
import pytest

from segmix_core.errors import SlideError
from segmix_core.geometry import Box
from segmix_core.slides.pixels import NotThisFormatError, on_white, reading, to_rgb


def test_rgb_is_left_as_it_is(rgb):
    assert to_rgb(rgb) is rgb


@pytest.mark.parametrize(
    ("pixel", "expected"),
    [
        ([7], [7, 7, 7]),
        ([7, 255], [7, 7, 7]),
        ([0, 0], [255, 255, 255]),
        ([0, 51], [204, 204, 204]),
        ([10, 20, 30, 255], [10, 20, 30]),
        ([100, 0, 200, 0], [255, 255, 255]),
        ([100, 0, 200, 102], [193, 153, 233]),
    ],
)
def test_other_channels_become_rgb(pixel, expected):
    assert to_rgb(np.array([[pixel]], np.uint8))[0, 0].tolist() == expected


def test_premultiplied_colors_are_not_multiplied_again():
    pixel = np.array([[[40, 0, 80, 102]]], np.uint8)
    assert to_rgb(pixel, premultiplied=True)[0, 0].tolist() == [193, 153, 233]


def test_more_channels_are_an_error():
    with pytest.raises(ValueError, match="1 to 4 channels"):
        to_rgb(np.zeros((2, 2, 5), np.uint8))


@pytest.mark.parametrize(
    "box", [Box(0, 0, 300, 420), Box(-5, -7, 20, 20), Box(290, 400, 40, 40)]
)
def test_outside_is_white(rgb, box):
    padded = np.pad(rgb, ((50, 50), (50, 50), (0, 0)), constant_values=255)
    result = on_white(box, (300, 420), lambda b: rgb[b.slices])
    np.testing.assert_array_equal(result, padded[box.moved(50, 50).slices])


def test_wholly_outside_reads_nothing(rgb):
    result = on_white(Box(1000, 0, 4, 5), (300, 420), lambda _: pytest.fail("read"))
    assert result.shape == (4, 5, 3)
    assert result.min() == 255


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("line 1\n line 2"), r"a.tif is damaged \(line 1 line 2\)"),
        (AssertionError(), r"a.tif is damaged \(AssertionError\)"),
        (MemoryError(), "a.tif needs more memory than is available"),
    ],
)
def test_whatever_a_library_raises_becomes_a_sentence(error, message):
    with (
        pytest.raises(SlideError, match=message),
        reading(Path("a.tif"), "a.tif is damaged"),
    ):
        raise error


def test_answers_to_a_file_pass_through():
    with pytest.raises(NotThisFormatError), reading(Path("a.tif"), "damaged"):
        raise NotThisFormatError("no TIFF")
