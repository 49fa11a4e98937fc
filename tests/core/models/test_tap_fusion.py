import json

import pytest
import torch
from torch.nn import functional as F

from segmix_core.inference.cam_maps import cam_maps
from segmix_core.models.cam import make_seed
from segmix_core.models.cam_classifier import CamClassifier, load_classifier
from segmix_core.models.checkpoint import (
    copy_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from segmix_core.models.tap_fusion import TapFusion


@pytest.fixture
def fused():
    torch.manual_seed(0)
    return CamClassifier(num_classes=3, width=8, fusion=True).eval()


def test_fusion_is_the_sum_of_both_taps_cell_by_cell():
    torch.manual_seed(0)
    fusion = TapFusion(4, 6, channels=5).eval()
    low, high = torch.rand(1, 4, 6, 8), torch.rand(1, 6, 3, 4)
    late = F.interpolate(high, (6, 8), mode="bilinear", align_corners=False)
    summed = torch.zeros(1, 5, 6, 8)
    for row in range(6):
        for col in range(8):
            early = fusion.low.weight[:, :, 0, 0] @ low[0, :, row, col]
            added = fusion.high.weight[:, :, 0, 0] @ late[0, :, row, col]
            summed[0, :, row, col] = early + added
    wanted = fusion.smooth(fusion.join(summed))
    torch.testing.assert_close(fusion(low, high), wanted)


@pytest.mark.parametrize(
    ("size", "grid"), [((64, 64), (16, 16)), ((61, 70), (16, 18)), ((8, 40), (2, 10))]
)
def test_maps_are_finer_for_any_size(fused, size, grid):
    images = torch.rand(2, 3, *size)
    output = fused(images)
    assert fused.stride == 4
    assert output.cam.shape == (2, 3, *grid)
    torch.testing.assert_close(output.logits, output.cam.mean(dim=(2, 3)))
    seed = make_seed(output.cam, torch.ones(2, 3))
    assert fused.refine(seed, images, output).shape == (2, 3, *grid)
    asked = cam_maps(fused, images, flips=size[0] == size[1], refine=0.5)
    assert asked.cam.shape == (2, 3, *grid)


def test_refining_a_flat_seed_leaves_it_flat(fused):
    images = torch.rand(1, 3, 32, 32)
    refined = fused.refine(torch.full((1, 2, 8, 8), 0.3), images, fused(images))
    torch.testing.assert_close(
        refined, torch.full((1, 2, 8, 8), 0.3), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("backbone", ["resnet18", "vit_tiny_patch16_224"])
def test_other_backbones_are_fused_on_the_grid_they_have(backbone):
    model = CamClassifier(num_classes=2, backbone=backbone, fusion=True).eval()
    cam = model(torch.rand(1, 3, 64, 64)).cam
    assert cam.shape[-1] == 64 // model.stride


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_the_strongest_tenth_and_the_mean_answer_for_a_tile(weight):
    model = CamClassifier(
        num_classes=3, width=8, pooled_share=0.1, pooled_mean=weight
    ).eval()
    with torch.no_grad():
        output = model(torch.rand(2, 3, 64, 64))
    for tile in range(2):
        for column in range(3):
            cells = sorted(output.cam[tile, column].flatten().tolist(), reverse=True)
            # A tenth of 64 cells, rounded.
            answer = (1 - weight) * sum(cells[:6]) / 6 + weight * sum(cells) / 64
            assert output.logits[tile, column] == pytest.approx(answer, abs=1e-6)


def test_cells_that_answer_alone_are_shown_as_probabilities():
    raw = torch.tensor([-2.0, 0.0, 3.0]).view(1, 1, 1, 3)
    cam = CamClassifier(num_classes=1, width=8).show(raw)
    assert cam.flatten().tolist() == [0, 0, 3]
    shown = CamClassifier(num_classes=1, width=8, pooled_share=0.5).show(raw)
    assert shown.flatten().tolist() == pytest.approx([0.1192, 0.5, 0.9526], abs=1e-4)


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_a_share_of_the_cells_answers(share):
    with pytest.raises(ValueError, match="share above 0, to 1"):
        CamClassifier(num_classes=1, pooled_share=share)


@pytest.mark.parametrize("weight", [-0.1, 1.1])
def test_the_mean_of_all_cells_has_a_weight_from_0_to_1(weight):
    with pytest.raises(ValueError, match="weight from 0 to 1"):
        CamClassifier(num_classes=1, pooled_mean=weight)


def test_arguments_rebuild_fusion_and_pooled_share(tmp_path):
    model = CamClassifier(num_classes=2, width=8, fusion=True, pooled_share=0.1).eval()
    arguments = json.loads(json.dumps(model.arguments))
    save_checkpoint(
        tmp_path / "one",
        module=model,
        arguments=arguments,
        kind="classifier",
        class_names=("a", "b"),
        step=3,
        extra={"scores": {}},
    )
    copy_checkpoint(tmp_path / "one", tmp_path / "two", 7)
    found = load_checkpoint(tmp_path / "two")
    again = load_classifier(found)
    images = torch.rand(1, 3, 32, 32)
    assert found.step == 7
    torch.testing.assert_close(again(images).cam, model(images).cam)
    torch.testing.assert_close(again(images).logits, model(images).logits)
