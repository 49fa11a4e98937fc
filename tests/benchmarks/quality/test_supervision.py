"""Masks to learn from: the true ones of the ceiling, and those that methods make."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.quality.ceiling import TrainMasks, supervised_samples, true_masks
from benchmarks.quality.folder import BenchmarkFolder, LabeledWindow
from benchmarks.quality.protocols import make_protocol
from benchmarks.quality.pseudo import pseudo_masks
from benchmarks.quality.samples import FolderSamples, batch_edge
from benchmarks.quality.segmenter import learn_masks
from segmix_core.data.samples import MaskedSamples
from segmix_core.errors import JobError
from segmix_core.geometry import Box
from segmix_core.settings import PseudoMaskSettings, RunSettings

RULES = PseudoMaskSettings(margin=0, min_object_px=0)


def protocol_of(path, name):
    return make_protocol(name, BenchmarkFolder(path))


def test_true_masks_of_p1_are_the_class_of_the_image(known_path):
    protocol = protocol_of(known_path, "p1")
    reader = TrainMasks(protocol.folder)
    for item, mask in zip(protocol.training_items(), true_masks(protocol), strict=True):
        np.testing.assert_array_equal(mask, reader.read(item))
    samples = supervised_samples(protocol, protocol.training_samples())
    # Of an image of one class, the mask says nothing of the maps of the others.
    assert set(samples.labels.sum(axis=1)) == {1}


def test_true_masks_of_p2_are_the_tags_of_the_windows(known_path):
    protocol = protocol_of(known_path, "p2")
    reader = TrainMasks(protocol.folder)
    for item, mask in zip(protocol.training_items(), true_masks(protocol), strict=True):
        truth = reader.read(item)
        assert mask.shape == truth.shape == (16, 16)
        np.testing.assert_array_equal(mask, np.where(truth > 0, 1, 2))
    samples = supervised_samples(protocol, protocol.training_samples())
    assert (samples.labels == 1).all()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ((1, 0, 0), (1, 3)),
        ((0, 1, 1), (2, 3)),
        ((1, 1, 1), (255, 3)),
        ((0, 0, 1), (255, 3)),
    ],
)
def test_a_side_of_several_tags_is_decided_by_the_window(
    benchmark_path, labels, expected
):
    protocol = make_protocol("p2", BenchmarkFolder(benchmark_path))
    vars(protocol.folder)["tag_names"] = ("gland", "nerve", "nontissue")
    item = LabeledWindow("a.png", "train", Box(0, 0, 1, 2), labels)
    found = protocol.columns_of(item, np.array([[True, False]]))
    assert found.tolist() == [list(expected)]


def test_a_mask_becomes_foreground_and_background(benchmark_path):
    mask = np.array([[0, 1, 2, 255]], np.uint8)
    first = protocol_of(benchmark_path, "p1").as_foreground(mask)
    assert first.tolist() == [[0, 1, 1, 255]]
    second = protocol_of(benchmark_path, "p2").as_foreground(mask)
    assert second.tolist() == [[0, 1, 0, 255]]


def ramp(name):
    """Maps of both columns: the first falls from top to bottom, the second rises."""
    falling = np.linspace(1, 0, 32, dtype=np.float32)[:, None]
    first = np.broadcast_to(falling, (32, 32))
    return np.stack([first, 0.5 * (1 - first)])


def test_pseudo_masks_of_p1_are_what_the_protocol_calls_foreground(benchmark_path):
    protocol = protocol_of(benchmark_path, "p1")
    made = pseudo_masks(protocol, ramp, 0.4, RULES)
    for item, mask in zip(protocol.training_items(), made, strict=True):
        found = protocol.foreground(item, ramp(item.name), 0.4)
        column = item.labels.index(1)
        np.testing.assert_array_equal(mask, found * (column + 1))


def test_pseudo_masks_of_p2_follow_the_tags_of_the_window(benchmark_path):
    folder = BenchmarkFolder(benchmark_path)
    vars(folder)["windows"] = tuple(
        replace(window, labels=((1, 1), (1, 0), (0, 1))[number % 3])
        for number, window in enumerate(folder.windows)
    )
    protocol = make_protocol("p2", folder)
    made = pseudo_masks(protocol, ramp, None, RULES)
    for item, mask in zip(protocol.training_items(), made, strict=True):
        if sum(item.labels) == 1:
            assert set(mask.flat) == {item.labels.index(1) + 1}
        else:
            # The image is asked, so that a window is seen with what is around it.
            expected = ramp(item.name).argmax(axis=0)[item.box.slices] + 1
            np.testing.assert_array_equal(mask, expected)


def test_an_image_is_asked_once_for_all_its_windows(benchmark_path):
    protocol = protocol_of(benchmark_path, "p2")
    windows = vars(protocol.folder)["windows"] = tuple(
        replace(window, box=Box(0, 0, 4 + number // 3 % 2, 8), labels=(1, 1))
        for number, window in enumerate(protocol.folder.windows)
    )
    asked = []

    def maps_of(name):
        asked.append(name)
        return ramp(name)

    made = pseudo_masks(protocol, maps_of, None, RULES)
    train = [window for window in windows if window.split == "train"]
    assert [mask.shape for mask in made] == [(w.box.height, 8) for w in train]
    assert asked == list(dict.fromkeys(window.name for window in train))


def test_margin_and_smallest_object_are_those_of_the_settings(benchmark_path):
    protocol = protocol_of(benchmark_path, "p2")
    unsure = pseudo_masks(protocol, ramp, None, PseudoMaskSettings(margin=0.4))
    assert any((mask == 255).any() for mask in unsure)


def test_masked_samples(benchmark_path):
    folder = BenchmarkFolder(benchmark_path)
    images = FolderSamples(folder, folder.split("train"))
    masks = [np.full((32, 32), row % 3, np.uint8) for row in range(12)]
    masks[1][:4] = 255
    samples = MaskedSamples(images, masks.__getitem__)
    sample = samples.read(1)
    np.testing.assert_array_equal(sample.image, images.read(1).image)
    assert sample.mask is masks[1]
    assert sample.corrected is None
    assert sample.weight[:4].max() == 0
    assert sample.weight[4:].min() == 1
    assert samples.labels is images.labels
    assert samples.count_pixels(1).tolist() == [4 * 1024, 4 * 1024 - 128]
    assert batch_edge(images) == 32


def test_masks_without_a_decision_cannot_train(benchmark_path):
    protocol = protocol_of(benchmark_path, "p1")
    masks = [np.full((32, 32), 255, np.uint8)] * 12
    with pytest.raises(JobError, match="no pixel with a class"):
        learn_masks(protocol, masks, RunSettings(), None)
