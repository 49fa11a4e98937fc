import numpy as np
import tifffile

from segmix_core.slides.open_slide import open_slide
from segmix_core.slides.tissue import sample_tissue

PINK, GLASS = np.uint8([222, 140, 180]), np.uint8([243, 242, 244])


def sample(tmp_path, image, downsample=1.0):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, photometric="rgb", tile=(128, 128))
    slide = open_slide(path)
    try:
        return sample_tissue(slide, downsample)
    finally:
        slide.close()


def test_a_small_image_is_taken_as_a_whole(tmp_path, rng):
    image = rng.integers(0, 256, (200, 300, 3), np.uint8)
    np.testing.assert_array_equal(sample(tmp_path, image), image)
    assert sample(tmp_path, image, 2.0).shape == (100, 150, 3)


def test_of_a_slide_places_with_tissue_are_taken(tmp_path):
    image = np.tile(GLASS, (2048, 2560, 1))
    image[256:1280, 512:1280] = PINK
    found = sample(tmp_path, image)
    assert found.shape == (128, 48 * 128, 3)
    assert (found == PINK).all(axis=2).mean() > 0.9


def test_places_are_spread_over_the_tissue(tmp_path):
    image = np.empty((2048, 2048, 3), np.uint8)
    image[...] = (np.arange(2048)[:, None] // 16)[..., None] + np.uint8([90, 0, 60])
    rows = sample(tmp_path, image)[0, ::128, 1].astype(int)
    assert rows.min() < 8
    assert rows.max() >= 112


def test_a_slide_of_glass_gives_glass(tmp_path):
    image = np.tile(GLASS, (1500, 1500, 1))
    assert (sample(tmp_path, image) == GLASS).all()


def test_places_are_seen_at_the_working_resolution(tmp_path, rng):
    image = np.tile(PINK, (4096, 4096, 1))
    image[:, ::2] -= 20
    fine = sample(tmp_path, image)
    coarse = sample(tmp_path, image, 2.0)
    assert np.ptp(fine[..., 0]) == 20
    assert np.ptp(coarse[..., 0]) == 0
