import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmarks.quality.grad_cam import gradient_maps
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.settings import RunSettings

PLAIN = RunSettings().replace({"train.method": "cam", "cams.flips": False})


@pytest.fixture
def model():
    torch.manual_seed(0)
    return CamClassifier(num_classes=2, width=8).eval()


@pytest.fixture
def pixels():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (2, 48, 32, 3), dtype=np.uint8)


def test_it_is_the_scaled_map_where_the_score_is_the_mean_of_the_map(model, pixels):
    """The twin: the gradient of a mean is a constant, so Grad-CAM is the CAM."""
    found = gradient_maps(model, PLAIN)(pixels)
    with torch.no_grad():
        image = torch.from_numpy(pixels / 255).float().permute(0, 3, 1, 2)
        cam = model(image).cam.relu()
    low, high = (f(cam, dim=(2, 3), keepdim=True) for f in (torch.amin, torch.amax))
    scaled = F.interpolate((cam - low) / (high - low), (48, 32), mode="bilinear")
    assert found.shape == (2, 2, 48, 32)
    # The package resizes with another library, and scales again afterwards.
    low, high = (f(scaled, dim=(2, 3), keepdim=True) for f in (torch.amin, torch.amax))
    np.testing.assert_allclose(found, (scaled - low) / (high - low), atol=2e-3)


def test_flips_are_averaged_and_the_network_stays_as_it_was(model, pixels):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    plain = gradient_maps(model, PLAIN)(pixels)
    flipped = gradient_maps(model, PLAIN.replace({"cams.flips": True}))(pixels)
    assert flipped.shape == plain.shape
    assert np.abs(flipped - plain).max() > 0.01
    again = gradient_maps(model, PLAIN)(pixels)
    np.testing.assert_array_equal(plain, again)
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_frozen_backbone_can_be_asked_as_well(model, pixels):
    free = gradient_maps(model, PLAIN)(pixels)
    model.backbone.requires_grad_(False)
    np.testing.assert_array_equal(gradient_maps(model, PLAIN)(pixels), free)
