import numpy as np

from segmix_core.slides.glass import glass_mask


def _tissue(shape=(20, 20)):
    return np.full((*shape, 3), (180, 90, 150), np.uint8)


def test_bright_gray_is_glass_and_pale_eosin_is_not():
    rgb = _tissue()
    rgb[:, :8] = 240
    rgb[:, 12:] = (245, 220, 232)
    expected = np.zeros((20, 20), bool)
    expected[:, :8] = True
    np.testing.assert_array_equal(glass_mask(rgb), expected)


def test_every_threshold_counts():
    rgb = _tissue()
    rgb[:, :10] = (230, 215, 222)
    assert glass_mask(rgb).sum() == 200
    assert not glass_mask(rgb, brightness=225).any()
    assert not glass_mask(rgb, spread=15).any()
    assert not glass_mask(rgb, min_px=201).any()


def test_highlights_are_tissue():
    rgb = _tissue()
    rgb[2:4, 2:4] = 250
    assert not glass_mask(rgb).any()
    assert glass_mask(rgb, min_px=1).sum() == 4


def test_all_glass_and_no_glass():
    assert glass_mask(np.full((10, 10, 3), 255, np.uint8)).all()
    assert not glass_mask(_tissue()).any()
