import shutil

import numpy as np
import pytest

from segmix_core.benchmark.folder import BenchmarkFolder
from segmix_core.benchmark.samples import FolderSamples


def test_whole_images_are_tiles(benchmark_path):
    folder = BenchmarkFolder(benchmark_path)
    images = folder.split("train")
    samples = FolderSamples(folder, images)
    assert len(samples.tiles) == 12
    assert samples.longest_edge == 32
    assert samples.tiles.labels.tolist() == [list(image.labels) for image in images]
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
