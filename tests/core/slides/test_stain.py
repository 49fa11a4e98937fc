import numpy as np
import pytest

from segmix_core.slides.stain import (
    REFERENCE,
    Stain,
    StainNormalizer,
    TissueColors,
    find_tissue_colors,
    measure_stain,
)


def tissue(rng, mean=(150, 110, 160), deviation=(20, 15, 10), shape=(120, 120)):
    pixels = rng.normal(mean, deviation, (*shape, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def test_glass_has_no_part_in_the_colors(rng):
    image = tissue(rng, shape=(60, 120))
    glass = np.full((60, 120, 3), (255, 215, 230), np.uint8)
    found = find_tissue_colors(np.concatenate([glass, image]))
    assert found.count == image.shape[0] * image.shape[1]
    np.testing.assert_array_equal(found.pixels, image.reshape(-1, 3))


def test_of_large_images_a_part_is_looked_at(rng):
    image = tissue(rng, shape=(1000, 900))
    found = find_tissue_colors(image)
    assert len(found.pixels) < 20_000
    assert found.count == pytest.approx(1000 * 900, rel=0.02)
    np.testing.assert_allclose(found.pixels.mean(0), image.mean((0, 1)), atol=0.5)


def test_a_stain_is_mean_and_deviation_of_all_pixels(rng):
    images = [tissue(rng, (100 + 20 * i, 90, 150), shape=(20, 30)) for i in range(3)]
    pixels = np.concatenate([image.reshape(-1, 3) for image in images])
    stain = measure_stain([find_tissue_colors(image) for image in images])
    np.testing.assert_allclose(stain.mean, pixels.mean(axis=0))
    np.testing.assert_allclose(stain.deviation, pixels.std(axis=0))


def test_without_tissue_there_is_no_stain():
    nothing = TissueColors(np.zeros((0, 3), np.uint8), 0)
    with pytest.raises(ValueError, match="no tissue pixels"):
        measure_stain([nothing, nothing])


def test_all_stains_become_the_same(rng):
    for mean, deviation in [
        ((150, 110, 160), (20, 15, 10)),
        ((180, 150, 190), (9, 12, 9)),
    ]:
        image = tissue(rng, mean, deviation)
        normalize = StainNormalizer(measure_stain([find_tissue_colors(image)]))
        found = normalize(image).reshape(-1, 3)
        # What leaves 0..255 is cut off, so not all of the spread is there.
        np.testing.assert_allclose(found.mean(axis=0), REFERENCE.mean, atol=3)
        np.testing.assert_allclose(found.std(axis=0), REFERENCE.deviation, rtol=0.1)


def test_each_value_is_moved_and_spread(rng):
    stain = Stain((150.0, 110.0, 160.0), (20.0, 15.0, 10.0))
    image = tissue(rng, shape=(6, 7))
    moved = StainNormalizer(stain)(image)
    assert moved.dtype == np.uint8
    for y, x, channel in np.ndindex(image.shape):
        share = (image[y, x, channel] - stain.mean[channel]) / stain.deviation[channel]
        value = share * REFERENCE.deviation[channel] + REFERENCE.mean[channel]
        assert moved[y, x, channel] == pytest.approx(min(max(value, 0), 255), abs=0.51)


def test_without_a_stain_pixels_stay(rng):
    image = tissue(rng)
    assert StainNormalizer(None)(image) is image


def test_one_color_has_no_noise_to_spread():
    image = np.full((50, 50, 3), 120, np.uint8)
    image[::2] = 121
    normalize = StainNormalizer(measure_stain([find_tissue_colors(image)]))
    assert np.ptp(normalize(image).astype(int), axis=(0, 1)).max() <= 8
