import pytest
import timm
import torch

from segmix_core.errors import ConfigError
from segmix_core.models.backbone import SmallBackbone, keep_statistics, make_backbone


@pytest.mark.parametrize("width", [8, 16])
def test_small_taps(width):
    taps = make_backbone("small", width=width)(torch.rand(2, 3, 64, 96))
    assert taps.low.shape == (2, 2 * width, 16, 24)
    assert taps.high.shape == (2, 4 * width, 8, 12)


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_100"])
def test_timm_taps_have_stride_eight(name):
    network = make_backbone(name).eval()
    assert network.stride == 8
    with torch.no_grad():
        taps = network(torch.rand(1, 3, 64, 48))
    assert taps.high.shape == (1, network.high_channels, 8, 6)
    assert taps.low.shape[1] == network.low_channels


@pytest.mark.parametrize("name", ["nonsense", ""])
def test_an_unknown_name(name):
    with pytest.raises(ConfigError, match="resnet18"):
        make_backbone(name)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vgg11"])
def test_a_network_that_gives_no_maps(name):
    with pytest.raises(ConfigError, match="stride 8 or 16"):
        make_backbone(name)


def test_small_has_no_published_weights():
    with pytest.raises(ConfigError, match="pretrained off"):
        make_backbone("small", pretrained=True)


@pytest.mark.parametrize("error", [OSError("no net\nmore"), RuntimeError("no net")])
def test_weights_that_cannot_be_had(monkeypatch, error):
    create = timm.create_model

    def offline(name, *, pretrained=False, **settings):
        if pretrained:
            raise error
        return create(name, **settings)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ConfigError, match=r"weights for resnet18, but got no net\."):
        make_backbone("resnet18", pretrained=True)


def test_statistics_are_kept_and_the_batch_is_still_used():
    network = SmallBackbone(8).train()
    images = torch.rand(4, 3, 32, 32)
    before = {name: value.clone() for name, value in network.named_buffers()}
    with keep_statistics(network):
        kept = network(images).high
    after = dict(network.named_buffers())
    assert all(torch.equal(after[name], value) for name, value in before.items())
    torch.testing.assert_close(network(images).high, kept)
    assert not torch.equal(
        after["early.0.1.running_mean"], before["early.0.1.running_mean"]
    )


def test_statistics_are_followed_again_after_an_error():
    network = SmallBackbone(8).train()
    with pytest.raises(RuntimeError), keep_statistics(network):
        network(torch.rand(1, 4, 32, 32))
    assert network.early[0][1].track_running_stats
