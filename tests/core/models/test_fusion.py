import pytest
import torch
from torch import nn

from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.fusion import fold_norms


def count(module, kind):
    return sum(isinstance(layer, kind) for layer in module.modules())


def stir(module, seed=0):
    """Give normalization a history, as a training does."""
    torch.manual_seed(seed)
    module.train()
    with torch.no_grad():
        module(torch.rand(4, 3, 64, 64))
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.affine:
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
    return module.eval()


def test_a_folded_classifier_gives_the_same_maps():
    model = stir(CamClassifier(num_classes=3, width=8))
    images = torch.rand(2, 3, 50, 64)
    with torch.inference_mode():
        before = model(images)
        fold_norms(model)
        after = model(images)
    assert count(model, nn.BatchNorm2d) == 0
    for old, new in zip(
        (before.cam, before.logits, before.low, before.high),
        (after.cam, after.logits, after.low, after.high),
        strict=True,
    ):
        torch.testing.assert_close(new, old, atol=1e-5, rtol=1e-4)


def test_a_network_of_timm_gives_the_same_maps():
    model = stir(CamClassifier(num_classes=2, backbone="resnet18"))
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        before = model(images).cam
        fold_norms(model)
        torch.testing.assert_close(model(images).cam, before, atol=1e-4, rtol=1e-4)


class Backwards(nn.Sequential):
    def forward(self, images):
        for layer in reversed(self):
            images = layer(images)
        return images


@pytest.mark.parametrize(
    "layers",
    [
        Backwards(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)),
        nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)),
        nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3)),
    ],
    ids=["own order", "no statistics", "not neighbors"],
)
def test_what_cannot_be_folded_stays(layers):
    model = stir(layers)
    images = torch.rand(2, 3, 8, 8)
    with torch.inference_mode():
        before = model(images)
        fold_norms(model)
        torch.testing.assert_close(model(images), before)
    assert count(model, nn.BatchNorm2d) == 1


def test_a_module_in_training_is_refused():
    with pytest.raises(ValueError, match="evaluation mode"):
        fold_norms(CamClassifier(num_classes=2, width=8))
