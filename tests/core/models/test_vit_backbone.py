"""Vision transformers: small ones really run; the published ones are only counted."""

import pytest
import timm
import torch

from segmix_core.encoders import ENCODERS, Encoder, find_encoder
from segmix_core.errors import ConfigError
from segmix_core.models.initial_weights import InitialWeights
from segmix_core.models.make_backbone import make_backbone
from segmix_core.models.vit_backbone import VitBackbone

TINY = {"depth": 4, "embed_dim": 32, "num_heads": 2, "img_size": 56}
REGISTERS = Encoder(
    architecture="vit_small_patch14_reg4_dinov2",
    arguments=TINY | {"mlp_ratio": 4.0, "init_values": 1e-5},
    swiglu=True,
)
SCRATCH = InitialWeights()


def slow_taps(network, images):
    """Patch tokens after blocks 2 and 4 of 4, by the parts of the network."""
    tokens = network._pos_embed(network.patch_embed(images))
    found = []
    for number, block in enumerate(network.blocks, start=1):
        tokens = block(tokens)
        if number in (2, 4):
            kept = network.norm(tokens)[:, network.num_prefix_tokens :]
            rows, cols = images.shape[-2] // 14, images.shape[-1] // 14
            found.append(kept.transpose(1, 2).unflatten(2, (rows, cols)))
    return found


def test_taps_are_the_patches_after_half_of_the_blocks_and_after_all():
    torch.manual_seed(0)
    backbone = VitBackbone("tiny", REGISTERS, weights=SCRATCH).eval()
    images = torch.rand(2, 3, 28, 70)
    taps, (low, high) = backbone(images), slow_taps(backbone.network, images)
    assert taps.high.shape == (2, 32, 2, 5)
    torch.testing.assert_close(taps.low, low)
    torch.testing.assert_close(taps.high, high)


def test_every_parameter_serves_the_maps():
    # Its published head pools by attention, which no map comes from.
    name = "vit_base_patch16_siglip_224"
    encoder = Encoder(architecture=name, arguments=TINY)
    backbone = VitBackbone(name, encoder, weights=SCRATCH)
    backbone(torch.rand(1, 3, 32, 32)).high.sum().backward()
    assert all(p.grad is not None for p in backbone.parameters())


@pytest.mark.parametrize(
    ("name", "stride"), [("test_vit", 16), ("eva02_tiny_patch14_224", 14)]
)
def test_a_transformer_by_its_name_in_timm(name, stride):
    backbone = make_backbone(name)
    assert backbone.stride == stride
    assert backbone.mean == timm.get_pretrained_cfg(name).mean
    maps = backbone(torch.rand(1, 3, 2 * stride, 3 * stride)).high
    assert maps.shape == (1, backbone.high_channels, 2, 3)


def test_the_stride_of_a_transformer_is_its_patch():
    assert make_backbone("test_vit", stride=16).stride == 16
    with pytest.raises(ConfigError, match=r"test_vit has stride 16, .* not 8"):
        make_backbone("test_vit", stride=8)


@pytest.mark.filterwarnings("ignore:Mapping deprecated")
def test_a_transformer_that_timm_cannot_build():
    with pytest.raises(
        ConfigError, match=r"timm cannot build .*Invalid pretrained tag"
    ):
        make_backbone("vit_base_patch16_224_sam")


# Millions of parameters as published: UNI, UNI2-h and Virchow on their model cards,
# the others as 1.1 thousand million and as Virchow with registers.
SIZES = {
    "MahmoodLab/UNI": (303, 16, 1024),
    "MahmoodLab/UNI2-h": (681, 14, 1536),
    "bioptimus/H-optimus-0": (1135, 14, 1536),
    "bioptimus/H-optimus-1": (1135, 14, 1536),
    "paige-ai/Virchow": (631, 14, 1280),
    "paige-ai/Virchow2": (631, 14, 1280),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_published_encoders_have_their_size(name):
    with torch.device("meta"):
        backbone = make_backbone(name)
    count = sum(p.numel() for p in backbone.parameters())
    size = SIZES[ENCODERS[name].repository]
    assert (round(count / 1e6), backbone.stride, backbone.high_channels) == size
    assert (backbone.mean, backbone.std) == (ENCODERS[name].mean, ENCODERS[name].std)


def test_encoders_are_found_however_they_are_written():
    uni = ENCODERS["hf-hub:MahmoodLab/UNI"]
    assert find_encoder("hf_hub:MahmoodLab/uni") is uni
    assert find_encoder("resnet18") is None


def test_an_encoder_that_nobody_knows():
    with pytest.raises(ConfigError, match="Choose one of hf-hub:MahmoodLab/UNI, "):
        make_backbone("hf-hub:someone/something")


def test_published_weights_come_from_the_encoders_own_place(monkeypatch):
    create, asked = timm.create_model, {}

    def remember(name, *, pretrained=False, **settings):
        if pretrained:
            asked.update(name=name, **settings)
        return create(name, **settings | TINY | {"depth": 2})

    monkeypatch.setattr(timm, "create_model", remember)
    make_backbone("hf-hub:paige-ai/Virchow2", weights=InitialWeights("download"))
    assert asked["name"] == "vit_huge_patch14_224"
    assert asked["pretrained_cfg"]["hf_hub_id"] == "paige-ai/Virchow2"
    assert asked["reg_tokens"] == 4
