import math

import pytest

from segmix_core.geometry import mean_mpp
from segmix_core.slides.pixel_size import (
    broken_pixel_size,
    check_pixel_size,
)


@pytest.mark.parametrize(
    ("y", "x", "expected"),
    [
        (0.25, 0.25, (0.25, 0.25)),
        (0.25, 0.2549, (0.25243, 0.25243)),
        (0.25, 0.2551, (0.25, 0.2551)),
        (0.5, 0.25, (0.5, 0.25)),
        (0.05, 20.0, (0.05, 20.0)),
    ],
)
def test_one_size_or_two(y, x, expected):
    size = check_pixel_size(y, x)
    assert size.yx == pytest.approx(expected, rel=1e-4)
    assert (size.yx[0] == size.yx[1]) == (expected[0] == expected[1])
    assert [("not square" in note) for note in size.notes] == [True] * (
        expected[0] != expected[1]
    )


@pytest.mark.parametrize(
    "value", [0.0, -0.25, math.nan, math.inf, 1e300, 5e-324, 0.0499, 20.1, 352.8]
)
def test_what_no_microscope_has_is_unknown_and_said(value):
    for pair in ((value, 0.25), (0.25, value), (value, value)):
        size = check_pixel_size(*pair)
        assert size.yx is None
        assert "not plausible" in size.notes[0]


def test_broken_metadata_is_unknown_and_said():
    size = broken_pixel_size("Its unit is furlong")
    assert size.yx is None
    assert size.notes == ("Its unit is furlong, so its pixel size is unknown.",)


def test_the_mean_of_equal_sizes_is_exact():
    assert mean_mpp((0.2528, 0.2528)) == 0.2528
    assert mean_mpp((0.25, 0.5)) == pytest.approx(0.35355, rel=1e-4)
    assert mean_mpp(None) is None
    assert mean_mpp((None, 0.5)) is None
    assert mean_mpp((0.5, None)) is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [(10_000.0, "10,000"), (352.8, "353"), (0.001, "0.001"), (1e300, "1e+300")],
)
def test_stated_sizes_are_shown_short(value, shown):
    (note,) = check_pixel_size(value, value).notes
    assert f"pixel size of {shown} x {shown} µm" in note
