import numpy as np
import openslide
import pytest
import tifffile
from scipy.spatial import cKDTree

from segmix_core.geometry import Box
from segmix_core.sample import CLASS_NAMES, SAMPLE_MPP, make_sample, write_sample_slide
from segmix_core.slides.open_slide import open_slide

SIZE = 1280


@pytest.fixture(scope="module")
def sample():
    return make_sample(SIZE, seed=3)


def test_a_seed_gives_the_same_slide(sample):
    for first, second in zip(make_sample(384, 5), make_sample(384, 5), strict=True):
        np.testing.assert_array_equal(first, second)
    assert (make_sample(384, 6)[1] != make_sample(384, 5)[1]).any()


@pytest.mark.parametrize("seed", range(4))
def test_every_class_and_glass_are_there(seed):
    _, mask = make_sample(640, seed)
    shares = np.bincount(mask.ravel(), minlength=4) / mask.size
    assert len(shares) == 1 + len(CLASS_NAMES)
    assert shares[0] == pytest.approx(0.43, abs=0.06)
    assert shares[1:].min() > 0.02


def test_glass_is_bright_and_tissue_is_stained(sample):
    image, mask = sample
    mean = image.mean(axis=2)
    assert mean[mask == 0].mean() > 235
    for label in (1, 2, 3):
        assert mean[mask == label].mean() < 205


def windows(image, mask, edge=32):
    count = SIZE // edge
    tiles = mask.reshape(count, edge, count, edge).swapaxes(1, 2)
    shares = np.stack([(tiles == c).mean(axis=(2, 3)) for c in (1, 2, 3)], axis=-1)
    pixels = image.reshape(count, edge, count, edge, 3).swapaxes(1, 2)
    keep = shares.max(axis=-1) > 0.8
    return pixels[keep].reshape(-1, edge * edge, 3), shares[keep].argmax(axis=-1)


def recall_of_glands(features, labels):
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    train, test = np.arange(len(labels)) % 2 == 0, np.arange(len(labels)) % 2 == 1
    _, nearest = cKDTree(features[train]).query(features[test], k=7)
    votes = np.stack([(labels[train][nearest] == c).sum(axis=1) for c in range(3)])
    return (votes.argmax(axis=0) == 0)[labels[test] == 0].mean()


def test_mean_color_alone_does_not_tell_glands(sample):
    pixels, labels = windows(*sample)
    assert 0.4 < recall_of_glands(pixels.mean(axis=1), labels) < 0.9


def test_texture_differs_between_classes(sample):
    pixels, labels = windows(*sample)
    spread = pixels.std(axis=1).mean(axis=1)
    gland, stroma, lymphoid = (np.median(spread[labels == c]) for c in range(3))
    assert gland > 1.15 * stroma
    assert lymphoid > 1.3 * stroma


def test_files_hold_the_arrays_with_all_levels(tmp_path):
    path, mask_path = tmp_path / "sample.tif", tmp_path / "mask.tif"
    write_sample_slide(path, mask_path, size=1100, seed=1)
    image, mask = make_sample(1100, 1)
    np.testing.assert_array_equal(tifffile.imread(mask_path), mask)
    slide = open_slide(path)
    assert slide.mpp == SAMPLE_MPP
    assert slide.level_shapes == ((1100, 1100), (550, 550))
    read = slide.read_level(0, Box(0, 0, 1100, 1100))
    assert np.abs(read.astype(int) - image).mean() < 6
    slide.close()
    with openslide.OpenSlide(path) as other:
        assert other.level_dimensions == ((1100, 1100), (550, 550))
        assert float(other.properties["openslide.mpp-x"]) == SAMPLE_MPP
    with tifffile.TiffFile(mask_path) as tiff:
        page = tiff.pages[0]
        assert page.is_tiled
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.resolution == (20000, 20000)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mask.tif", "sample.tif"]


def test_too_small_a_slide_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="at least 256"):
        write_sample_slide(tmp_path / "a.tif", tmp_path / "b.tif", size=255)
