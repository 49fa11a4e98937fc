import shutil

import numpy as np
import pytest
import torch

from segmix_core.benchmark.folder import BenchmarkFolder
from segmix_core.benchmark.maps import class_maps
from segmix_core.benchmark.samples import FolderSamples, MaskedSamples
from segmix_core.config import RunConfig
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.slides import stain


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


def test_windows_have_the_stain_of_their_image(benchmark_path, monkeypatch):
    monkeypatch.setattr(stain, "_LEAST_PX", 100)
    folder = BenchmarkFolder(benchmark_path)
    windows = [window for window in folder.windows if window.split == "train"]
    raw = FolderSamples(folder, windows)
    samples = raw.with_normalised_stain()
    image = stain.normalise_stain(folder.read_image(windows[1].name))
    np.testing.assert_array_equal(samples.read(1).image, image[16:32, 8:24])
    assert (samples.read(1).image != raw.read(1).image).any()
    masks = [np.full((16, 16), row, np.uint8) for row in range(len(windows))]
    masked = MaskedSamples(raw, masks, (1, 0)).with_normalised_stain()
    np.testing.assert_array_equal(masked.read(1).image, samples.read(1).image)
    assert (masked.read(1).mask == 1).all()
    assert masked.tiles.labels.tolist() == [[1, 0]] * len(windows)


def test_a_network_is_asked_about_the_colours_it_knows(monkeypatch):
    monkeypatch.setattr(stain, "_LEAST_PX", 100)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    config = RunConfig().replace({"machine.precision": "float32"})

    def ask(pixels, *, normalised):
        torch.manual_seed(0)
        model = CamClassifier(num_classes=2, width=8, normalised_stain=normalised)
        return class_maps(model.eval(), config)(pixels)

    same = np.stack([stain.normalise_stain(image) for image in images])
    found = ask(images, normalised=True)
    np.testing.assert_array_equal(found, ask(same, normalised=False))
    assert (found != ask(images, normalised=False)).any()
