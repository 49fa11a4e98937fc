import hashlib

import pytest
import timm
import torch
from safetensors.torch import save_file

from segmix_core.errors import ConfigError
from segmix_core.models.backbone import SmallBackbone
from segmix_core.models.initial_weights import (
    InitialWeights,
    find_weights,
    fit_weights,
)
from segmix_core.models.make_backbone import make_backbone


@pytest.fixture
def save(tmp_path):
    """Write tensors, and return the weights that their file holds."""

    def write(tensors):
        path = tmp_path / "some weights é.safetensors"
        save_file({name: t.contiguous() for name, t in tensors.items()}, path)
        return find_weights(str(path))

    return write


def with_prefix(prefix, tensors):
    return {prefix + name: tensor for name, tensor in tensors.items()}


def assert_loaded(network, state):
    for name, tensor in network.state_dict().items():
        if name in state:
            torch.testing.assert_close(tensor, state[name], msg=name)


def test_a_file_is_known_by_name_and_hash(save, tmp_path):
    found = save({"a": torch.ones(2)})
    data = (tmp_path / "some weights é.safetensors").read_bytes()
    assert found.origin == {
        "source": "file",
        "file": "some weights é.safetensors",
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    assert torch.equal(found.tensors["a"], torch.ones(2))


@pytest.mark.parametrize("text", ["scratch", "download"])
def test_words_are_no_files(text):
    assert find_weights(text).origin == {"source": text}


def test_a_file_that_is_missing_or_no_safetensors(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(ConfigError, match=r"x\.safetensors cannot be read \(No such"):
        find_weights(str(path))
    path.write_bytes(b"a pickle")
    with pytest.raises(ConfigError, match="holds no tensors"):
        find_weights(str(path))


@pytest.mark.parametrize("prefix", ["", "model.", "module.backbone.", "encoder."])
def test_prefixes_are_taken_off_and_other_parts_left_out(save, prefix):
    state = make_backbone("small", width=8).state_dict()
    others = {"head.weight": torch.ones(3)} if prefix else {}
    weights = save(with_prefix(prefix, state) | others)
    assert_loaded(make_backbone("small", width=8, weights=weights), state)


def test_a_network_may_have_a_part_with_the_name_of_a_prefix():
    wanted = {"encoder.a": torch.ones(1), "encoder.b": torch.ones(1)}
    weights = InitialWeights("file", "f", "", with_prefix("model.", wanted))
    assert fit_weights(weights, wanted, network="n").keys() == wanted.keys()


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "test_efficientnet"])
def test_a_published_file_of_a_convolutional_network(save, name):
    torch.manual_seed(0)
    whole = timm.create_model(name, num_classes=7)
    weights = save(whole.state_dict())
    torch.manual_seed(1)
    backbone = make_backbone(name, stride=16, weights=weights).eval()
    stages = {
        n: t for n, t in whole.state_dict().items() if "stem" in n or "conv1" in n
    }
    assert stages
    assert_loaded(backbone.network, whole.state_dict())
    other = make_backbone(name, stride=16).eval()
    images = torch.rand(1, 3, 64, 64)
    assert not torch.allclose(backbone(images).high, other(images).high)
    same = timm.create_model(
        name,
        features_only=True,
        output_stride=16,
        pretrained=True,
        pretrained_cfg_overlay={"state_dict": whole.state_dict(), "num_classes": 7},
    ).eval()
    torch.testing.assert_close(backbone(images).high, same(images)[-1])


@pytest.mark.parametrize("classes", [0, 5])
def test_a_published_file_of_a_transformer(save, classes):
    whole = timm.create_model("test_vit", num_classes=classes)
    backbone = make_backbone("test_vit", weights=save(whole.state_dict()))
    assert_loaded(backbone.network, whole.state_dict())


def test_half_precision_is_widened(save):
    state = timm.create_model("test_vit", num_classes=0).state_dict()
    half = {name: tensor.half() for name, tensor in state.items()}
    backbone = make_backbone("test_vit", weights=save(half))
    assert backbone.network.pos_embed.dtype is torch.float32
    torch.testing.assert_close(
        backbone.network.pos_embed.half(), half["pos_embed"], rtol=0, atol=0
    )


def test_the_count_of_batches_may_miss(save):
    state = SmallBackbone(8).state_dict()
    few = {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}
    assert_loaded(make_backbone("small", width=8, weights=save(few)), few)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"norm.weight": None},
            r"\d+ of (\d+) tensors match; norm\.weight is missing",
        ),
        (
            {"norm.weight": torch.ones(3)},
            r"norm\.weight is \[3\] in the file and \[64\]",
        ),
        ({"strange": torch.ones(3)}, r"strange is \[3\] in the file and missing"),
    ],
)
def test_a_file_that_does_not_fit(save, change, message):
    state = timm.create_model("test_vit", num_classes=0).state_dict() | change
    weights = save({name: t for name, t in state.items() if t is not None})
    with pytest.raises(ConfigError, match=rf"does not fit test_vit: .*{message}"):
        make_backbone("test_vit", weights=weights)


def test_the_file_of_another_network_matches_nowhere(save):
    weights = save(SmallBackbone(8).state_dict())
    with pytest.raises(ConfigError, match=r"resnet18: 0 of 120 tensors match"):
        make_backbone("resnet18", weights=weights)
