import shutil
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.quality.folder import BenchmarkFolder
from benchmarks.quality.maps import of_images, whole_images
from benchmarks.quality.samples import FolderSamples
from segmix_core.data.samples import MaskedSamples
from segmix_core.errors import ProjectError
from segmix_core.slides import group_stains
from segmix_core.slides.stain import StainNormalizer, find_tissue_colors, measure_stain


def test_whole_images_are_tiles(benchmark_path):
    folder = BenchmarkFolder(benchmark_path)
    images = folder.split("train")
    samples = FolderSamples(folder, images)
    assert len(samples.ids) == 12
    assert samples.longest_edge == 32
    assert samples.labels.tolist() == [list(image.labels) for image in images]
    np.testing.assert_array_equal(
        samples.read(3).image, folder.read_image(images[3].name)
    )
    assert samples.read(3).mask is None


def test_windows_are_cut_out(benchmark_path):
    folder = BenchmarkFolder(benchmark_path)
    windows = [window for window in folder.windows if window.split == "train"]
    samples = FolderSamples(folder, windows)
    assert samples.longest_edge == 16
    image = folder.read_image(windows[1].name)
    np.testing.assert_array_equal(samples.read(1).image, image[16:32, 8:24])


def test_images_are_read_once(benchmark_path, tmp_path):
    path = tmp_path / "copy"
    shutil.copytree(benchmark_path, path)
    folder = BenchmarkFolder(path)
    samples = FolderSamples(folder, folder.split("train"))
    assert samples.longest_edge == 32
    shutil.rmtree(path / "images")
    assert samples.read(0).image.shape == (32, 32, 3)


def test_no_tiles_no_edge(benchmark_path):
    with pytest.raises(ValueError, match="empty"):
        _ = FolderSamples(BenchmarkFolder(benchmark_path), []).longest_edge


@pytest.fixture
def small_stains(monkeypatch):
    """Images as small as these have a stain of their own."""
    monkeypatch.setattr(group_stains, "_LEAST_PX", 10)
    monkeypatch.setattr(group_stains, "_ONE_IMAGE_PX", 10)


@pytest.mark.usefixtures("small_stains")
def test_windows_have_the_stain_of_their_image(benchmark_path):
    folder = BenchmarkFolder(benchmark_path)
    windows = [window for window in folder.windows if window.split == "train"]
    raw = FolderSamples(folder, windows)
    samples = raw.with_normalized_stain()
    image = folder.read_normalized_image(windows[1].name)
    np.testing.assert_array_equal(samples.read(1).image, image[16:32, 8:24])
    assert (samples.read(1).image != raw.read(1).image).any()
    masks = [np.full((16, 16), row, np.uint8) for row in range(len(windows))]
    masked = MaskedSamples(samples, masks.__getitem__)
    np.testing.assert_array_equal(masked.read(1).image, samples.read(1).image)
    assert (masked.read(1).mask == 1).all()


@pytest.mark.usefixtures("small_stains")
def test_images_of_a_group_are_normalized_together(benchmark_path):
    folder = BenchmarkFolder(benchmark_path)
    vars(folder)["images"] = tuple(
        replace(image, group="ab"[number % 2])
        for number, image in enumerate(folder.images)
    )
    first = folder.images[0]
    images = [folder.read_image(image.name) for image in folder.images[::2]]
    stain = measure_stain([find_tissue_colors(image) for image in images])
    expected = StainNormalizer(stain)(folder.read_image(first.name))
    np.testing.assert_array_equal(folder.read_normalized_image(first.name), expected)


@pytest.mark.usefixtures("small_stains")
@pytest.mark.parametrize("normalized", [True, False])
def test_a_network_is_asked_about_the_colors_it_knows(benchmark_path, normalized):
    folder = BenchmarkFolder(benchmark_path)
    asked = []

    def maps(pixels):
        asked.append(pixels)
        return np.zeros((1, 2, *pixels.shape[1:3]), np.float32)

    image = folder.images[2]
    found = of_images(whole_images(folder, maps, normalized_stain=normalized))(image)
    assert found.shape == (2, 32, 32)
    read = folder.read_normalized_image if normalized else folder.read_image
    np.testing.assert_array_equal(asked[0][0], read(image.name))
    assert (asked[0][0] == folder.read_image(image.name)).all() != normalized


@pytest.mark.usefixtures("small_stains")
def test_images_that_are_missing_tell_no_stain(benchmark_path, tmp_path):
    path = tmp_path / "copy"
    shutil.copytree(benchmark_path, path)
    folder = BenchmarkFolder(path)
    name = folder.split("train")[0].name
    whole = folder.read_normalized_image(name)
    lost = BenchmarkFolder(path)
    for image in lost.split("test"):
        (path / "images" / image.name).unlink()
    np.testing.assert_array_equal(
        lost.read_normalized_image(lost.images[0].name), whole
    )
    with pytest.raises(ProjectError, match="cannot be read as an image"):
        lost.read_normalized_image(lost.split("test")[0].name)
