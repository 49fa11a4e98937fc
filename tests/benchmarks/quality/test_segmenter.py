import numpy as np
import pytest
import torch

from benchmarks.quality.folder import BenchmarkFolder
from benchmarks.quality.protocols import make_protocol
from benchmarks.quality.segmenter import _finder, learn_masks
from segmix_core.events import Metrics
from segmix_core.models.segmenter import Segmenter
from segmix_core.settings import RunSettings

CONFIG = RunSettings().replace(
    {
        "segmenter.encoder": "tu-mobilenetv3_small_050",
        "segmenter.epochs": 1,
        "machine.device": "cpu",
        "machine.threads": 1,
        "machine.precision": "float32",
    }
)
TURNED = CONFIG.replace({"predict.flips": True})


class Listener:
    """Collects events and never asks to stop."""

    def __init__(self):
        self.events = []

    def emit(self, event):
        self.events.append(event)

    def should_stop(self):
        return False


@pytest.fixture
def segmenter():
    torch.manual_seed(0)
    module = Segmenter(
        num_classes=1, has_background=True, encoder=CONFIG.segmenter.encoder, depth=4
    )
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module.eval()


def slow_foreground(segmenter, pixels, flips):
    """Twin: NumPy pads, turns and mirrors; one view at a time."""
    height, width = pixels.shape[:2]
    multiple = segmenter.size_multiple
    pads = [(0, -edge % multiple) for edge in (height, width)]
    padded = np.pad(pixels, (*pads, (0, 0)), mode="reflect")
    total = 0.0
    for turns in range(4 if flips else 1):
        for mirrored in (False, True) if flips else (False,):
            seen = np.rot90(padded, turns)
            seen = np.fliplr(seen) if mirrored else seen
            tensor = torch.from_numpy(seen.transpose(2, 0, 1) / np.float32(255))
            with torch.no_grad():
                logits = segmenter(tensor[None])[0].numpy().astype(np.float64)
            result = (np.exp(logits) / np.exp(logits).sum(0)).transpose(1, 2, 0)
            result = np.fliplr(result) if mirrored else result
            total = total + np.rot90(result, -turns)
    background, foreground = np.moveaxis(total[:height, :width], 2, 0)
    return foreground > background, np.abs(foreground - background) > 1e-4


@pytest.mark.parametrize("config", [CONFIG, TURNED], ids=["plain", "flips"])
def test_the_scored_prediction_equals_the_slow_twin(segmenter, config):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 61, 3), dtype=np.uint8)
    found = _finder(segmenter, config)(pixels)
    wanted, is_clear = slow_foreground(segmenter, pixels, config.predict.flips)
    assert is_clear.mean() > 0.9
    assert np.array_equal(found[is_clear], wanted[is_clear])
    assert 0 < found.mean() < 1


def test_views_are_averaged_only_if_asked_for(segmenter):
    pixels = np.random.default_rng(1).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    plain, turned = (_finder(segmenter, config)(pixels) for config in (CONFIG, TURNED))
    assert (plain != turned).any()


def test_the_loss_of_the_settings_trains_the_segmenter(benchmark_path):
    protocol = make_protocol("p1", BenchmarkFolder(benchmark_path))
    samples = protocol.training_samples()
    masks = []
    for row in range(len(samples.ids)):
        mask = np.ones(samples.read(row).image.shape[:2], np.uint8)
        mask[: len(mask) // 2] = 0
        masks.append(mask)
    listener = Listener()
    config = CONFIG.replace({"segmenter.loss": "oeem"})
    assert learn_masks(protocol, masks, config, listener) is not None
    metrics = [e.values for e in listener.events if isinstance(e, Metrics)]
    assert any("oeem" in values for values in metrics)
    assert not any("ce" in values for values in metrics)
