import numpy as np
import pytest
import torch
from torch import nn

from segmix_core.errors import ConfigError
from segmix_core.inference.cam_maps import cam_maps
from segmix_core.inference.slide_prediction import predict_probabilities
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.precision import has_bf16, inference_mode, resolve_precision
from segmix_core.models.segmenter import Segmenter

CPU, GPU, METAL = (torch.device(name) for name in ("cpu", "cuda", "mps"))

needs_bf16 = pytest.mark.skipif(not has_bf16(CPU), reason="needs a processor with bf16")


@pytest.mark.parametrize("has_it", [True, False])
def test_what_a_device_computes_in(monkeypatch, has_it):
    able = {"avx512_bf16": has_it}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: has_it
    )
    for device in (CPU, GPU, METAL):
        assert resolve_precision("float32", device) == "float32"
    assert resolve_precision("auto", METAL) == "float32"
    for device in (CPU, GPU):
        found = resolve_precision("auto", device)
        assert found == ("bf16" if has_it else "float32")
    assert resolve_precision("auto", CPU, trains=True) == "float32"
    assert resolve_precision("auto", GPU, trains=True) == found
    if has_it:
        assert resolve_precision("bf16", CPU, trains=True) == "bf16"
        return
    for device in (CPU, GPU, METAL):
        with pytest.raises(ConfigError, match="does not support bf16"):
            resolve_precision("bf16", device)


@needs_bf16
@pytest.mark.parametrize("share", [0.1, 1.0])
def test_maps_in_bf16_are_nearly_the_same(share):
    torch.manual_seed(0)
    model = CamClassifier(num_classes=3, width=16, fusion=True, pooled_share=share)
    model.eval()
    images = torch.rand(4, 3, 64, 64)
    exact, rough = (
        cam_maps(model, images, flips=True, refine=0.5, precision=name)
        for name in ("float32", "bf16")
    )
    for one, other in zip(
        (exact.cam, exact.probabilities), (rough.cam, rough.probabilities), strict=True
    ):
        assert other.dtype == torch.float32
        assert not torch.equal(one, other)
        # A map is stored in 255 levels.
        torch.testing.assert_close(one, other, atol=2 / 255 * float(one.max()), rtol=0)


@needs_bf16
def test_predictions_in_bf16_are_nearly_the_same():
    torch.manual_seed(0)
    model = Segmenter(num_classes=3).eval()
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    exact, rough = (
        predict_probabilities(model, images, precision=name)
        for name in ("float32", "bf16")
    )
    assert rough.dtype == np.float32
    assert not np.array_equal(exact, rough)
    np.testing.assert_allclose(rough, exact, atol=0.02)


@pytest.mark.parametrize("training", [True, False])
def test_inference_mode_restores_the_mode_even_after_an_error(training):
    module = nn.BatchNorm2d(2).train(training)

    def fail_while_inference_mode():
        with inference_mode(module):
            assert not module.training
            assert torch.is_inference_mode_enabled()
            raise KeyError

    with pytest.raises(KeyError):
        fail_while_inference_mode()
    assert module.training is training
    assert not torch.is_inference_mode_enabled()
