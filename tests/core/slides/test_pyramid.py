import numpy as np
import pytest
import tifffile

from segmix_core.slides import pyramid
from segmix_core.slides.open_slide import open_slide
from segmix_core.slides.pyramid import pyramid_arrays


@pytest.fixture
def levels(write_pyramid, monkeypatch):
    monkeypatch.setattr(pyramid, "_CHUNK", 64)
    slide = open_slide(write_pyramid())
    yield pyramid_arrays(slide)
    slide.close()


def test_levels_look_like_arrays(levels, rgb):
    assert [level.shape for level in levels] == [
        (300, 420, 3),
        (150, 210, 3),
        (75, 105, 3),
    ]
    first = levels[0]
    assert (first.ndim, first.dtype, len(first)) == (3, np.uint8, 300)
    assert first.size == first.nbytes == rgb.size
    np.testing.assert_array_equal(np.asarray(first), rgb)
    assert np.asarray(first, np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="copy"):
        np.asarray(first, copy=False)


@pytest.mark.parametrize(
    "index",
    [
        np.s_[...],
        np.s_[10:200, 30:90],
        np.s_[10:200:7, 400:30:-3, 1],
        np.s_[5],
        np.s_[-1, -2],
        np.s_[..., 0],
        np.s_[3, ..., 2],
        np.s_[50:50, 3:9],
        np.s_[250:900, :, ::-1],
    ],
)
def test_indexing_equals_numpy(levels, rgb, index):
    np.testing.assert_array_equal(levels[0][index], rgb[index])


def test_wrong_indices_are_errors(levels):
    with pytest.raises(IndexError, match="at most 3"):
        levels[0][0, 0, 0, 0]
    with pytest.raises(IndexError):
        levels[0][300]


@pytest.fixture
def flat(tmp_path, rgb, monkeypatch):
    """A file with one level, in a world where that is large."""
    monkeypatch.setattr(pyramid, "_CHUNK", 64)
    monkeypatch.setattr(pyramid, "_LARGE", 200)
    monkeypatch.setattr(pyramid, "_SMALL", 110)
    path = tmp_path / "flat.tif"
    image = rgb[:299, :417]
    tifffile.imwrite(path, image, photometric="rgb", tile=(64, 64))
    slide = open_slide(path)
    yield image, slide
    slide.close()


def test_a_large_flat_image_gets_halved_levels(flat):
    image, slide = flat
    levels = pyramid_arrays(slide)
    assert [lv.shape[:2] for lv in levels] == [(299, 417), (150, 209), (75, 105)]
    padded = np.pad(image, ((0, 1), (0, 1), (0, 0)), mode="edge").astype(float)
    half = padded.reshape(150, 2, 209, 2, 3).mean(axis=(1, 3))
    assert np.abs(levels[1][...] - half).max() <= 0.5
    quarter = np.pad(levels[1][...], ((0, 0), (0, 1), (0, 0)), mode="edge")
    quarter = quarter.astype(float).reshape(75, 2, 105, 2, 3).mean(axis=(1, 3))
    assert np.abs(levels[2][...] - quarter).max() <= 0.5


def test_chunks_are_read_once_until_the_cache_is_full(flat, monkeypatch):
    image, slide = flat
    reads = []
    read = slide.read_level
    monkeypatch.setattr(slide, "read_level", lambda *a: reads.append(a) or read(*a))
    level = pyramid_arrays(slide)[0]
    for _ in range(3):
        np.testing.assert_array_equal(level[0:100, 0:100], image[:100, :100])
    assert len(reads) == 4
    monkeypatch.setattr(pyramid, "_CACHE_BYTES", 1)
    small = pyramid_arrays(slide)[0]
    np.testing.assert_array_equal(small[0:100, 0:100], image[:100, :100])
    np.testing.assert_array_equal(small[0:100, 0:100], image[:100, :100])
    assert len(reads) == 12


def test_napari_shows_the_levels_without_reading_all(levels, rgb):
    layers = pytest.importorskip("napari.layers")
    layer = layers.Image(levels, multiscale=True, rgb=True, name="slide")
    assert layer.multiscale
    assert layer.extent.data[1].tolist() == [299, 419]
    assert layer.get_value((10, 10)) is not None
