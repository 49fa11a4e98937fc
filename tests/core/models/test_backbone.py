import pytest
import timm
import torch

from segmix_core.errors import ConfigError
from segmix_core.models.backbone import SmallBackbone, keep_statistics
from segmix_core.models.initial_weights import InitialWeights, open_branches
from segmix_core.models.make_backbone import make_backbone

DOWNLOADED = InitialWeights("download")


@pytest.mark.parametrize("width", [8, 16])
def test_small_taps(width):
    taps = make_backbone("small", width=width)(torch.rand(2, 3, 64, 96))
    assert taps.low.shape == (2, 2 * width, 16, 24)
    assert taps.high.shape == (2, 4 * width, 8, 12)


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_100"])
@pytest.mark.parametrize("stride", [None, 8, 16])
def test_timm_taps_have_the_stride_that_is_asked_for(name, stride):
    network = make_backbone(name, stride=stride).eval()
    cell = stride or 8
    assert network.stride == cell
    with torch.no_grad():
        taps = network(torch.rand(1, 3, 64, 48))
    assert taps.high.shape == (1, network.high_channels, 64 // cell, 48 // cell)
    assert taps.low.shape[1] == network.low_channels


def test_from_scratch_no_branch_begins_at_zero():
    network = make_backbone("resnet18")
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) > 10
    assert all(norm.weight.all() for norm in norms)


def test_layers_without_weights_stay_as_they_are():
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(2, affine=False))
    open_branches(network)
    assert network[0].weight is None


def test_a_network_without_stride_eight_has_sixteen(monkeypatch):
    create = timm.create_model

    def no_eight(name, *, output_stride, **settings):
        if output_stride == 8:
            raise NotImplementedError
        return create(name, output_stride=output_stride, **settings)

    monkeypatch.setattr(timm, "create_model", no_eight)
    assert make_backbone("test_efficientnet").stride == 16
    with pytest.raises(ConfigError, match=r"maps of stride 8.*the other stride"):
        make_backbone("test_efficientnet", stride=8)


def test_the_small_backbone_has_stride_eight():
    assert make_backbone("small", stride=8).stride == 8
    with pytest.raises(ConfigError, match="small backbone has stride 8, not 16"):
        make_backbone("small", stride=16)


@pytest.mark.parametrize("name", ["nonsense", ""])
def test_an_unknown_name(name):
    with pytest.raises(ConfigError, match="resnet18"):
        make_backbone(name)


@pytest.mark.parametrize("name", ["mixer_s16_224", "vgg11"])
def test_a_network_that_gives_no_maps(name):
    with pytest.raises(ConfigError, match="stride 8 or 16"):
        make_backbone(name)


def test_small_has_no_published_weights():
    with pytest.raises(ConfigError, match=r"no published weights\. Choose 'scratch'"):
        make_backbone("small", weights=DOWNLOADED)


@pytest.mark.parametrize("name", ["resnet18", "test_vit", "hf-hub:MahmoodLab/UNI"])
@pytest.mark.parametrize("error", [OSError("no net.\nmore"), RuntimeError("no net")])
def test_weights_that_cannot_be_had(monkeypatch, name, error):
    create = timm.create_model

    def offline(name, *, pretrained=False, **settings):
        if pretrained:
            raise error
        return create(name, **settings | ({"depth": 1} if "vit" in name else {}))

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        ConfigError, match=rf"weights of {name} cannot be loaded: no net\."
    ):
        make_backbone(name, weights=DOWNLOADED)


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
