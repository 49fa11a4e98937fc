import numpy as np
import pytest

from benchmarks.quality.trivial import TRIVIAL_PREDICTORS


def _picture() -> np.ndarray:
    image = np.full((40, 60, 3), 230, np.uint8)
    image[10:30, 10:30] = (150, 40, 160)
    return image


@pytest.mark.parametrize("name", ["Otsu, dark green", "Otsu, saturation"])
def test_otsu_finds_the_stained_square(name: str) -> None:
    found = TRIVIAL_PREDICTORS[name](_picture())
    expected = np.zeros((40, 60), bool)
    expected[10:30, 10:30] = True
    np.testing.assert_array_equal(found, expected)


def test_constants() -> None:
    assert TRIVIAL_PREDICTORS["all foreground"](_picture()).all()
    assert not TRIVIAL_PREDICTORS["all background"](_picture()).any()


def test_the_disc_has_the_area_of_its_radius() -> None:
    found = TRIVIAL_PREDICTORS["centered disc"](_picture())
    assert found.sum() == pytest.approx(np.pi * 12**2, rel=0.02)
    np.testing.assert_array_equal(found, found[::-1, ::-1])


def test_an_image_of_one_color_does_not_fail() -> None:
    flat = np.full((8, 8, 3), 128, np.uint8)
    for predict in TRIVIAL_PREDICTORS.values():
        assert predict(flat).shape == (8, 8)
