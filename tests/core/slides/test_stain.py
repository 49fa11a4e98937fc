import numpy as np
import pytest

from segmix_core.slides.stain import (
    REFERENCE,
    Stain,
    StainNormaliser,
    measure_stain,
    normalise_stain,
)

EDGE = 200


def tissue(rng, mean=(150, 110, 160), deviation=(20, 15, 10), shape=(EDGE, EDGE)):
    pixels = rng.normal(mean, deviation, (*shape, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def test_a_stain_is_mean_and_deviation_of_tissue(rng):
    image = tissue(rng)
    expected = image.reshape(-1, 3)
    image = np.concatenate([image, np.full((100, EDGE, 3), 240, np.uint8)])
    stain = measure_stain(image)
    np.testing.assert_allclose(stain.mean, expected.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(stain.deviation, expected.std(axis=0), atol=0.01)


def test_of_large_images_a_part_is_looked_at(rng):
    image = tissue(rng, shape=(1000, 900))
    stain = measure_stain(image)
    np.testing.assert_allclose(stain.mean, image.mean(axis=(0, 1)), atol=0.5)
    assert stain == measure_stain(image[::4, ::4].repeat(4, 0).repeat(4, 1))


def test_all_images_get_the_same_colours(rng):
    for mean, deviation in [
        ((150, 110, 160), (20, 15, 10)),
        ((180, 150, 190), (9, 12, 9)),
    ]:
        found = normalise_stain(tissue(rng, mean, deviation)).reshape(-1, 3)
        # What leaves 0..255 is cut off, so not all of the spread is there.
        np.testing.assert_allclose(found.mean(axis=0), REFERENCE.mean, atol=3)
        np.testing.assert_allclose(found.std(axis=0), REFERENCE.deviation, rtol=0.1)


def test_each_value_is_moved_and_spread(rng):
    stain = Stain((150.0, 110.0, 160.0), (20.0, 15.0, 10.0))
    image = tissue(rng, shape=(6, 7))
    moved = StainNormaliser(stain)(image)
    assert moved.dtype == np.uint8
    for y, x, channel in np.ndindex(image.shape):
        share = (image[y, x, channel] - stain.mean[channel]) / stain.deviation[channel]
        value = share * REFERENCE.deviation[channel] + REFERENCE.mean[channel]
        assert moved[y, x, channel] == pytest.approx(min(max(value, 0), 255), abs=0.51)


def test_a_single_object_is_no_stain(rng):
    image = np.full((EDGE, EDGE, 3), 240, np.uint8)
    image[:140, :140] = tissue(rng, shape=(140, 140))
    assert measure_stain(image) is None
    np.testing.assert_array_equal(normalise_stain(image), image)
    image[:150, :150] = tissue(rng, shape=(150, 150))
    assert measure_stain(image) is not None


def test_one_colour_has_no_noise_to_spread():
    image = np.full((EDGE, EDGE, 3), 120, np.uint8)
    image[::2] = 121
    found = normalise_stain(image)
    assert np.ptp(found.astype(int), axis=(0, 1)).max() <= 8
