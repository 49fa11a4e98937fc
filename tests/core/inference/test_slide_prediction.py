import runpy
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

from segmix_core.export.label_info import LabelImageInfo
from segmix_core.export.label_tiff import write_label_tiff
from segmix_core.geometry import Box
from segmix_core.inference.slide_prediction import predict_image, predict_probabilities

_REFERENCE = Path(__file__).parents[2] / "reference" / "stitching.py"
stitch = runpy.run_path(str(_REFERENCE))["stitch"]


class TinySegmenter(nn.Module):
    """One convolution with zero padding: what it says depends on the window's edge."""

    def __init__(self, class_indices=(0, 1, 2), size_multiple=4):
        super().__init__()
        self.class_indices = class_indices
        self.size_multiple = size_multiple
        self.calls = []
        torch.manual_seed(3)
        self.layer = nn.Conv2d(3, len(class_indices), 5, padding=2)
        nn.init.normal_(self.layer.weight, std=0.6)

    def forward(self, images):
        assert not self.training
        assert not torch.is_grad_enabled()
        assert all(edge % self.size_multiple == 0 for edge in images.shape[-2:])
        self.calls.append(len(images))
        return self.layer(images)


def _image(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def _predict(segmenter, image, **options):
    options = {"window_px": 24, "overlap_px": 6, **options}
    bands = list(
        predict_image(
            segmenter, lambda box: image[box.slices], image.shape[:2], **options
        )
    )
    edges = [0, *(band.box.bottom for band in bands)]
    assert edges[-1] == image.shape[0]
    for band, top in zip(bands, edges[:-1], strict=True):
        assert band.box == Box(top, 0, band.box.height, image.shape[1])
        assert band.labels.shape == band.confidence.shape
        assert band.labels.dtype == band.confidence.dtype == np.uint8
    labels = np.concatenate([band.labels for band in bands])
    return labels, np.concatenate([band.confidence for band in bands])


def _reference_probabilities_of(segmenter, flips):
    """Slow twin of one window: NumPy turns, mirrors and padding."""
    symmetries = [(k, m) for k in range(4) for m in (0, 1)] if flips else [(0, 0)]

    def probabilities_of(pixels):
        height, width = pixels.shape[:2]
        pads = [(0, -edge % segmenter.size_multiple) for edge in (height, width)]
        padded = np.pad(pixels, (*pads, (0, 0)), mode="reflect")
        total = 0.0
        for turns, mirrored in symmetries:
            seen = np.rot90(padded, turns, (0, 1))
            seen = seen[:, ::-1] if mirrored else seen
            tensor = torch.from_numpy(seen.transpose(2, 0, 1) / np.float32(255))
            with torch.no_grad():
                logits = segmenter.layer(tensor[None])[0].numpy().astype(np.float64)
            result = np.exp(logits) / np.exp(logits).sum(0)
            result = result[:, :, ::-1] if mirrored else result
            total = total + np.rot90(result, -turns, (1, 2))
        return total[:, :height, :width] / len(symmetries)

    return probabilities_of


@pytest.mark.parametrize(
    "shape", [(70, 55), (24, 24), (25, 100), (9, 61), (61, 9), (1, 1), (3, 2)]
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"overlap_px": 0},
        {"overlap_px": 17, "batch_size": 3},
        {"flips": True, "batch_size": 1},
        {"window_px": 22},
    ],
)
def test_equals_whole_image_stitching(shape, options):
    segmenter, image = TinySegmenter(), _image(shape)
    labels, confidence = _predict(segmenter, image, **options)
    expected = stitch(
        _reference_probabilities_of(segmenter, options.get("flips", False)),
        image,
        options.get("window_px", 24),
        options.get("overlap_px", 6),
    )
    first, second = np.sort(expected, axis=0)[[-1, -2]]
    is_clear = first - second > 1e-5
    np.testing.assert_array_equal(labels[is_clear], expected.argmax(0)[is_clear])
    np.testing.assert_allclose(confidence / 255, first, atol=0.5 / 255 + 1e-5)


def test_windows_that_do_not_fit_are_asked_in_halves():
    class Small(TinySegmenter):
        def forward(self, images):
            if len(images) > 2:
                raise torch.OutOfMemoryError("out of memory")
            return super().forward(images)

    image = _image((24, 100))
    small = Small()
    for found, expected in zip(
        _predict(small, image, batch_size=4),
        _predict(TinySegmenter(), image, batch_size=4),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)
    assert max(small.calls) == 2


def test_sums_equal_the_reference_to_1e_5(monkeypatch):
    """The probabilities before they are rounded to labels and bytes."""
    from segmix_core.inference.blending import RowBlender

    decided = []
    original = RowBlender._decide

    def spy(self, sums, place):
        decided.append((place.start, sums[:-1] / sums[-1]))
        original(self, sums, place)

    monkeypatch.setattr(RowBlender, "_decide", spy)
    segmenter, image = TinySegmenter(), _image((70, 55))
    _predict(segmenter, image)
    expected = stitch(_reference_probabilities_of(segmenter, False), image, 24, 6)
    y = 0
    for x, part in decided:
        _, height, width = part.shape
        wanted = expected[:, y : y + height, x : x + width]
        np.testing.assert_allclose(part, wanted, atol=1e-5)
        y += height if x + width == 55 else 0
    assert y == 70


@pytest.mark.parametrize(("class_indices", "empty"), [((0, 1, 2), 0), ((1, 2, 3), 255)])
def test_windows_without_tissue_are_not_predicted(class_indices, empty):
    segmenter, image = TinySegmenter(class_indices), _image((48, 96))
    seen = []

    def skip(box):
        seen.append(box)
        return box.right > 60

    labels, confidence = _predict(segmenter, image, skip=skip, overlap_px=0)
    expected = stitch(
        _reference_probabilities_of(segmenter, False), image, 24, 0, lambda _, x: x > 36
    )
    assert len(seen) == 8
    assert sum(segmenter.calls) == 4
    assert (labels[:, 48:] == empty).all()
    assert (confidence[:, 48:] == 255).all()
    values = np.array(class_indices)[expected[:, :, :48].argmax(0)]
    np.testing.assert_array_equal(labels[:, :48], values)


def test_neighbors_decide_where_a_skipped_window_overlaps():
    segmenter, image = TinySegmenter((1, 2)), _image((24, 42))
    labels, _ = _predict(segmenter, image, skip=lambda box: box.x > 0)
    assert (labels[:, :24] != 255).all()
    assert (labels[:, 24:] == 255).all()


def test_all_windows_skipped():
    labels, _ = _predict(TinySegmenter(), _image((50, 50)), skip=lambda _: True)
    assert not labels.any()


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_batch_size_is_kept_and_changes_nothing(batch_size):
    segmenter, image = TinySegmenter(), _image((40, 90))
    labels, _ = _predict(segmenter, image, batch_size=batch_size)
    assert max(segmenter.calls) <= batch_size
    np.testing.assert_array_equal(labels, _predict(TinySegmenter(), image)[0])


def test_flips_make_the_prediction_turn_with_the_image():
    segmenter, image = TinySegmenter(), _image((48, 48))
    upright, _ = _predict(segmenter, image, flips=True)
    turned, _ = _predict(segmenter, np.rot90(image).copy(), flips=True)
    assert (turned == np.rot90(upright)).mean() > 0.99
    assert (upright != _predict(segmenter, image)[0]).any()


def test_mode_is_restored_and_the_caller_keeps_gradients():
    segmenter, image = TinySegmenter().train(), _image((60, 30))
    for _ in predict_image(
        segmenter, lambda box: image[box.slices], (60, 30), window_px=24, overlap_px=6
    ):
        assert segmenter.training
        assert torch.is_grad_enabled()


def test_an_error_while_reading_ends_the_prediction():
    def read(box):
        raise InterruptedError

    bands = predict_image(TinySegmenter(), read, (9, 9), window_px=8, overlap_px=0)
    with pytest.raises(InterruptedError):
        next(bands)


def test_memory_does_not_grow_with_the_height():
    width, window, channels = 600, 32, 3
    blank = np.zeros((window, window, 3), np.uint8)
    peaks = []
    for height in (300, 3000):
        tracemalloc.start()
        for _ in predict_image(
            TinySegmenter(),
            lambda box: blank[: box.height, : box.width],
            (height, width),
            window_px=window,
            overlap_px=8,
        ):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    two_window_rows = 2 * (channels + 1) * 4 * window * width
    assert peaks[1] < two_window_rows
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((0, 5), {}, "at least 1 x 1"),
        ((9, 9), {"overlap_px": 24}, "overlap_px < window_px"),
        ((9, 9), {"overlap_px": -1}, "overlap_px < window_px"),
        ((9, 9), {"batch_size": 0}, "batch_size >= 1"),
    ],
)
def test_bad_sizes_are_refused(shape, options, message):
    options = {"window_px": 24, "overlap_px": 6, **options}
    with pytest.raises(ValueError, match=message):
        next(predict_image(TinySegmenter(), lambda box: box, shape, **options))


def test_wrong_pixels_are_refused():
    for pixels in (np.zeros((9, 8, 3), np.uint8), np.zeros((9, 9, 3), np.float32)):
        bands = predict_image(
            TinySegmenter(), lambda _, p=pixels: p, (9, 9), window_px=24, overlap_px=0
        )
        with pytest.raises(ValueError, match=r"Expected \(9, 9, 3\) uint8"):
            next(bands)


def test_probabilities_sum_to_one_at_any_size():
    result = predict_probabilities(TinySegmenter(), _image((7, 10))[None], flips=True)
    assert result.shape == (1, 3, 7, 10)
    np.testing.assert_allclose(result.sum(axis=1), 1, atol=1e-6)


def test_bands_feed_the_tiff_writer(tmp_path):
    segmenter, image = TinySegmenter(), _image((70, 55))
    bands = predict_image(
        segmenter, lambda box: image[box.slices], (70, 55), window_px=24, overlap_px=6
    )
    path = tmp_path / "prediction.ome.tif"
    boxes = ((band.box, band.labels) for band in bands)
    write_label_tiff(path, boxes, shape=(70, 55), info=LabelImageInfo(()))
    labels, _ = _predict(segmenter, image)
    np.testing.assert_array_equal(tifffile.imread(path), labels)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu():
    segmenter, image = TinySegmenter(), _image((70, 55))
    labels, confidence = _predict(segmenter, image, flips=True)
    segmenter.cuda()
    on_cuda = _predict(segmenter, image, flips=True, device="cuda")
    assert (on_cuda[0] == labels).mean() > 0.99
    np.testing.assert_allclose(on_cuda[1], confidence.astype(int), atol=2)
