import json

import pytest
import torch

from segmix_core.errors import CheckpointError, ConfigError
from segmix_core.models import segmenter as module_under_test
from segmix_core.models.checkpoint import Checkpoint
from segmix_core.models.segmenter import (
    DECODERS,
    DEFAULT_ENCODER,
    DEPTHS,
    Segmenter,
    load_segmenter,
)

SMALL = "tu-mobilenetv3_small_050"


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("encoder", [DEFAULT_ENCODER, SMALL])
@pytest.mark.parametrize("decoder", DECODERS)
def test_logits_have_the_size_of_the_image(
    decoder: str, encoder: str, depth: int
) -> None:
    segmenter = Segmenter(
        num_classes=3, decoder=decoder, encoder=encoder, depth=depth
    ).eval()
    assert segmenter.size_multiple == 2**depth
    edge = 2 * segmenter.size_multiple
    with torch.inference_mode():
        logits = segmenter(torch.rand(2, 3, edge, 2 * edge))
    assert logits.shape == (2, 3, edge, 2 * edge)


@pytest.mark.parametrize(
    ("has_background", "indices"), [(False, (1, 2)), (True, (0, 1, 2))]
)
def test_channels_name_their_class(
    has_background: bool, indices: tuple[int, ...]
) -> None:
    segmenter = Segmenter(num_classes=2, has_background=has_background, encoder=SMALL)
    assert segmenter.class_indices == indices
    logits = segmenter.eval()(torch.rand(1, 3, 32, 32))
    assert logits.shape[1] == len(indices)


def test_arguments_rebuild_the_module() -> None:
    segmenter = Segmenter(num_classes=2, has_background=True, encoder=SMALL).eval()
    arguments = json.loads(json.dumps(segmenter.arguments))
    checkpoint = Checkpoint(
        "segmenter", arguments, ("a", "b"), 0, {}, segmenter.state_dict()
    )
    twin = load_segmenter(checkpoint)
    images = torch.rand(1, 3, 32, 32)
    assert not twin.training
    assert torch.equal(twin(images), segmenter(images))


def test_weights_of_another_segmenter() -> None:
    weights = Segmenter(num_classes=3, encoder=SMALL).state_dict()
    arguments = Segmenter(num_classes=2, encoder=SMALL).arguments
    with pytest.raises(CheckpointError, match="another network"):
        load_segmenter(Checkpoint("segmenter", arguments, (), 0, {}, weights))


def test_images_are_normalized_inside() -> None:
    segmenter = Segmenter(num_classes=1, encoder=SMALL).eval()
    seen = []
    segmenter.network.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    segmenter(mean.expand(1, 3, 32, 32))
    torch.testing.assert_close(seen[0], torch.zeros(1, 3, 32, 32))
    assert not {"mean", "std"} & set(segmenter.state_dict())


def test_sizes_between_multiples_are_refused() -> None:
    segmenter = Segmenter(num_classes=1, encoder=SMALL).eval()
    with pytest.raises(ValueError, match=r"8 divides, got \(40, 33\)"):
        segmenter(torch.rand(1, 3, 40, 33))


@pytest.mark.parametrize("encoder", [DEFAULT_ENCODER, "resnet18"])
def test_no_branch_begins_at_zero(encoder: str) -> None:
    network = Segmenter(num_classes=1, encoder=encoder, depth=5).network
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) > 20
    assert all(norm.weight.all() for norm in norms)


def test_unknown_depth() -> None:
    with pytest.raises(ConfigError, match=r"depth cannot be 2. Choose one of 3, 4, 5"):
        Segmenter(num_classes=2, depth=2)


def test_unknown_decoder() -> None:
    with pytest.raises(
        ConfigError, match=r"'psp' is not a valid decoder.*unet, fpn, deeplabv3plus"
    ):
        Segmenter(num_classes=2, decoder="psp")


@pytest.mark.parametrize("encoder", ["resnet17", "tu-nonsense"])
def test_unknown_encoder(encoder: str) -> None:
    with pytest.raises(ConfigError, match=f"'{encoder}'.*Use tu-resnet18"):
        Segmenter(num_classes=2, encoder=encoder)


def test_no_network_for_pretrained_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**arguments: object) -> None:
        assert arguments["encoder_weights"] == "imagenet"
        raise OSError("no route to host")

    monkeypatch.setattr(module_under_test.smp, "Unet", refuse)
    with pytest.raises(ConfigError, match=r"no route to host.*pretrained off"):
        Segmenter(num_classes=2, pretrained=True)


def test_no_classes() -> None:
    with pytest.raises(ValueError, match="at least one class"):
        Segmenter(num_classes=0)
