import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from segmix_core.models.backbone import SmallBackbone
from segmix_core.models.cam import make_seed
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.training.optim import make_optimizer, optimizer_tensors


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return CamClassifier(num_classes=3, width=8).eval()


@pytest.mark.parametrize(
    ("size", "grid"), [((64, 64), (8, 8)), ((61, 70), (8, 9)), ((8, 40), (1, 5))]
)
def test_shapes_of_any_size(classifier, size, grid):
    output = classifier(torch.rand(2, 3, *size))
    assert output.cam.shape == (2, 3, *grid)
    torch.testing.assert_close(output.logits, output.cam.mean(dim=(2, 3)))
    seed = make_seed(output.cam, torch.ones(2, 3))
    refined = classifier.refine(seed, torch.rand(2, 3, *size), output)
    assert refined.shape == (2, 3, *grid)


def test_padding_continues_the_image_by_reflection(classifier):
    images = torch.rand(1, 3, 16, 13)
    whole = torch.cat([images, images[..., 9:12].flip(-1)], dim=-1)
    torch.testing.assert_close(classifier(images).cam, classifier(whole).cam)


def test_images_are_normalized_inside(classifier):
    seen = []
    classifier.backbone.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    mean = classifier.mean.expand(3, 16, 16)[None]
    classifier(mean)
    assert seen[0].abs().max() < 1e-6


def test_arguments_rebuild_the_module_and_need_no_weights():
    classifier = CamClassifier(
        num_classes=2,
        backbone="resnet18",
        stride=16,
        frozen_norm=True,
    )
    arguments = json.loads(json.dumps(classifier.arguments))
    assert "weights" not in arguments
    assert arguments["stride"] == 16
    again = CamClassifier(**arguments)
    again.load_state_dict(classifier.state_dict())
    assert again.frozen_norm
    images = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(again.eval()(images).cam, classifier.eval()(images).cam)


@pytest.fixture
def file(tmp_path):
    """Weights of a small backbone, in a file."""
    torch.manual_seed(7)
    path = tmp_path / "small.safetensors"
    save_file(SmallBackbone(8).state_dict(), path)
    return path


def test_weights_of_a_file_begin_and_keep_their_statistics(file):
    model = CamClassifier(num_classes=2, width=8, weights=str(file))
    state = load_file(file)
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    assert model.frozen_norm
    assert model.origin["file"] == "small.safetensors"
    assert len(model.origin["sha256"]) == 64
    assert CamClassifier(num_classes=2, width=8).origin == {"source": "scratch"}


def test_a_frozen_backbone_takes_no_part_in_training(file):
    model = CamClassifier(num_classes=2, width=8, weights=str(file), freeze=True)
    before = {n: t.clone() for n, t in model.backbone.state_dict().items()}
    model.train()
    assert model.training
    assert model.head.training
    assert not any(layer.training for layer in model.backbone.modules())
    optimizer = make_optimizer(model, learning_rate=0.1, weight_decay=0.1)
    images = torch.rand(4, 3, 32, 32)
    output = model(images)
    (output.logits.sum() + model.refine(output.cam, images, output).sum()).backward()
    optimizer.step()
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    stored = {name.partition("//")[0] for name in optimizer_tensors(optimizer, model)}
    assert stored == {"head.weight", "pcm.low.weight", "pcm.high.weight"} | {
        "pcm.mix.weight"
    }


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_norm_keeps_its_statistics(frozen):
    classifier = CamClassifier(num_classes=2, width=8, frozen_norm=frozen).train()
    before = classifier.backbone.early[0][1].running_mean.clone()
    classifier(torch.rand(4, 3, 32, 32))
    after = classifier.backbone.early[0][1].running_mean
    assert torch.equal(before, after) == frozen
    assert classifier.training


def test_refined_maps_train_the_projections_alone(classifier):
    images = torch.rand(2, 3, 32, 32)
    output = classifier(images)
    refined = classifier.refine(output.cam.relu(), images, output)
    refined.square().sum().backward()
    trained = {name for name, p in classifier.named_parameters() if p.grad is not None}
    assert trained == {"pcm.low.weight", "pcm.high.weight", "pcm.mix.weight"}


def test_inputs_that_do_not_fit(classifier):
    with pytest.raises(ValueError, match="at least one class"):
        CamClassifier(num_classes=0)
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        classifier(torch.rand(2, 1, 32, 32))
    with pytest.raises(ValueError, match="at least 8 pixels"):
        classifier(torch.rand(2, 3, 7, 32))
    output = classifier(torch.rand(1, 3, 32, 32))
    with pytest.raises(ValueError, match=r"\(4, 4\)"):
        classifier.refine(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 32, 32), output)
