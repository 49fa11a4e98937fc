from dataclasses import replace

import pytest
import torch

from segmix_core.data.batch import Batch
from segmix_core.models.segmenter import Segmenter
from segmix_core.training.noisy_labels import LOSSES, PixelLoss
from segmix_core.training.segmenter_task import SegmenterTask
from segmix_core.training.task import StepContext, Task

SMALL = "tu-mobilenetv3_small_050"


def make_segmenter(has_background: bool = False) -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(num_classes=2, has_background=has_background, encoder=SMALL)


def make_batch(height: int = 32, width: int = 32) -> Batch:
    """Left half dark and class 1, right half bright and class 2."""
    generator = torch.Generator().manual_seed(1)
    images = 0.2 * torch.rand(4, 3, height, width, generator=generator)
    masks = torch.ones(4, height, width, dtype=torch.uint8)
    images[..., width // 2 :] += 0.7
    masks[..., width // 2 :] = 2
    return Batch(
        images=images,
        labels=torch.ones(4, 2),
        tile_ids=torch.arange(4),
        valid=torch.tensor([[height, width]] * 4),
        masks=masks,
        weights=torch.ones(4, height, width),
    )


def context(step: int = 0) -> StepContext:
    return StepContext(step, 100, 0, torch.Generator())


def test_it_learns_two_halves() -> None:
    task: Task = SegmenterTask(make_segmenter())
    optimizer = torch.optim.AdamW(task.module.parameters(), lr=3e-3)
    batch = make_batch()
    for step in range(15):
        result = task.training_step(batch, context(step))
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
    assert float(result.parts["pixel_accuracy"]) > 0.95


def test_a_lone_tile_of_one_coarse_value_a_channel_trains() -> None:
    batch = make_batch(16, 16).part(0, 1)
    task = SegmenterTask(make_segmenter())
    result = task.training_step(batch, context())
    result.loss.backward()
    norms = [p.grad.norm() for p in task.module.parameters() if p.grad is not None]
    assert torch.isfinite(torch.stack(norms)).all()


def test_parts_add_up() -> None:
    result = SegmenterTask(make_segmenter(), dice_weight=0.3).training_step(
        make_batch(), context()
    )
    ce, dice = float(result.parts["ce"]), float(result.parts["dice"])
    assert float(result.loss.detach()) == pytest.approx(ce + 0.3 * dice)
    assert set(result.parts) == {"ce", "dice", "pixel_accuracy"}


def test_without_dice() -> None:
    result = SegmenterTask(make_segmenter(), dice_weight=0).training_step(
        make_batch(), context()
    )
    assert set(result.parts) == {"ce", "pixel_accuracy"}
    assert float(result.loss.detach()) == pytest.approx(float(result.parts["ce"]))


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_of_pixels_trains_a_step(name: str) -> None:
    task = SegmenterTask(make_segmenter(), pixel_loss=PixelLoss(name))
    result = task.training_step(make_batch(), context())
    result.loss.backward()
    assert set(result.parts) == {name, "dice", "pixel_accuracy"}
    norms = [p.grad.norm() for p in task.module.parameters() if p.grad is not None]
    assert 0 < float(torch.stack(norms).max()) < torch.inf


@pytest.mark.parametrize("count", [1, 4])
def test_corrected_pixels_are_learned_as_drawn(count: int) -> None:
    task = SegmenterTask(
        make_segmenter().eval(), pixel_loss=PixelLoss("gce"), dice_weight=0
    )
    batch = make_batch().part(0, count)
    assert batch.masks is not None
    drawn = replace(batch, corrected=torch.ones_like(batch.masks, dtype=torch.bool))
    plain = SegmenterTask(task.module, dice_weight=0)
    losses = [
        float(task.training_step(batch, context()).loss.detach()),
        float(task.training_step(drawn, context()).loss.detach()),
        float(plain.training_step(batch, context()).loss.detach()),
    ]
    assert losses[1] == pytest.approx(losses[2])
    assert losses[0] < 0.9 * losses[2]


def test_class_weights_change_the_cross_entropy() -> None:
    losses = [
        float(
            SegmenterTask(make_segmenter().eval(), dice_weight=0, class_weights=weights)
            .training_step(make_batch(), context())
            .loss.detach()
        )
        for weights in (None, [1.0, 1.0], [1.0, 9.0])
    ]
    assert losses[0] == pytest.approx(losses[1])
    assert losses[0] != pytest.approx(losses[2], rel=1e-3)


def test_ignored_and_weightless_pixels_do_not_count() -> None:
    task = SegmenterTask(make_segmenter().eval())
    batch = make_batch()
    assert batch.masks is not None
    assert batch.weights is not None
    ignored, weightless = batch.masks.clone(), batch.weights.clone()
    ignored[:, :16] = 255
    weightless[:, :16] = 0
    first = task.training_step(replace(batch, masks=ignored), context())
    second = task.training_step(replace(batch, weights=weightless), context())
    assert float(first.loss.detach()) == pytest.approx(
        float(second.loss.detach()), rel=1e-5
    )


def test_background_counts_only_with_a_channel() -> None:
    batch = make_batch()
    assert batch.masks is not None
    masks = torch.zeros_like(batch.masks)
    without, with_it = (
        SegmenterTask(make_segmenter(has)).training_step(
            replace(batch, masks=masks), context()
        )
        for has in (False, True)
    )
    assert float(without.loss.detach()) == 0
    assert float(with_it.loss.detach()) > 0.1


def test_it_remembers_and_shows_nothing() -> None:
    task = SegmenterTask(make_segmenter())
    task.load_state(task.state())
    assert task.state() == {}
    assert task.epoch_end(0, 1) == {}


def test_a_batch_without_masks() -> None:
    batch = replace(make_batch(), masks=None, weights=None)
    with pytest.raises(ValueError, match="no masks"):
        SegmenterTask(make_segmenter()).training_step(batch, context())


def test_wrong_weights() -> None:
    with pytest.raises(ValueError, match="dice_weight must be >= 0"):
        SegmenterTask(make_segmenter(), dice_weight=-1)
    with pytest.raises(ValueError, match="2 class weights, not 3"):
        SegmenterTask(make_segmenter(), class_weights=[1, 1, 1])
