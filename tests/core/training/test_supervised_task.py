import math

import numpy as np
import pytest
import torch

from segmix_core.data.batch import Batch
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.training.supervised_task import (
    SupervisedTask,
    map_loss,
    shared_map_loss,
)
from segmix_core.training.task import StepContext, Task


def make_batch(count=6, seed=0):
    """Tiles whose upper rows are bright: class 1 there, class 2 below."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0.3, 0.02, (count, 3, 32, 32))
    masks = np.full((count, 32, 32), 2, np.uint8)
    for image, mask in zip(images, masks, strict=True):
        rows = 8 * rng.integers(1, 4)
        image[:, :rows] += 0.4
        mask[:rows] = 1
    return Batch(
        images=torch.from_numpy(images).float().clamp(0, 1),
        labels=torch.ones(count, 2),
        tile_ids=torch.arange(count),
        valid=torch.full((count, 2), 32),
        masks=torch.from_numpy(masks),
        weights=torch.ones(count, 32, 32),
    )


def context(step):
    return StepContext(step, 40, 0, torch.Generator().manual_seed(step))


def make_task(**options):
    torch.manual_seed(0)
    return SupervisedTask(CamClassifier(num_classes=2, width=8), **options)


def test_maps_learn_the_masks_of_turned_tiles():
    task: Task = make_task()
    task.module.train()
    optimizer = torch.optim.AdamW(task.module.parameters(), 5e-3)
    for step in range(40):
        result = task.training_step(make_batch(seed=step), context(step))
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
    batch = make_batch(seed=99)
    task.module.eval()
    with torch.no_grad():
        won = task.module(batch.images).cam.argmax(dim=1) + 1
    truth = batch.masks[:, 4::8, 4::8]
    assert (won == truth).float().mean() > 0.9
    assert result.parts.keys() == {"map"}
    assert (task.min_batch, task.state(), task.epoch_end(0, 1)) == (1, {}, {})
    task.load_state({})


def test_augmentation_can_be_left_out():
    plain, turned = (
        make_task(augment=augment).training_step(make_batch(), context(0)).loss
        for augment in (False, True)
    )
    assert plain != turned


def test_a_batch_without_masks():
    batch = make_batch()
    bare = Batch(batch.images, batch.labels, batch.tile_ids, batch.valid)
    with pytest.raises(ValueError, match="batch has no masks"):
        make_task().training_step(bare, context(0))
    with pytest.raises(ValueError, match="batch has no masks"):
        make_task().amount(bare)


def test_the_loss_equals_a_plain_loop():
    generator = torch.Generator().manual_seed(0)
    cam = torch.randn(2, 3, 4, 4, generator=generator)
    masks = torch.randint(0, 4, (2, 4, 4), generator=generator).byte()
    masks[0, 0] = 255
    weights = torch.rand(2, 4, 4, generator=generator)
    decided = torch.tensor([[True, False, True], [False, True, False]])
    total = weight = 0.0
    for b, c, y, x in np.ndindex(2, 3, 4, 4):
        if decided[b, c] and masks[b, y, x] != 255:
            sign = 1 if masks[b, y, x] == c + 1 else -1
            w = weights[b, y, x].item()
            total += w * math.log1p(math.exp(-sign * cam[b, c, y, x]))
            weight += w
    loss = map_loss(cam, masks, weights, decided[:, :, None, None])
    assert loss.item() == pytest.approx(total / weight, rel=1e-5)
    assert map_loss(cam, masks, weights, torch.zeros(2, 3, 1, 1).bool()) == 0


def test_the_loss_of_a_shared_foreground_equals_a_plain_loop():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 4, 4, 4, generator=generator)
    masks = torch.randint(0, 4, (3, 4, 4), generator=generator).byte()
    masks[:, 0, :2] = 255
    weights = torch.rand(3, 4, 4, generator=generator)
    decided = torch.tensor([[True] * 3, [True, False, True], [False] * 3])
    total = weight = 0.0
    # Of the last tile nothing is known.
    for b, y, x in np.ndindex(2, 4, 4):
        value = int(masks[b, y, x])
        if value == 255:
            continue
        foreground, *classes = scores[b, :, y, x].tolist()
        inside = 1 / (1 + math.exp(-foreground))
        shares = np.exp(classes) / np.exp(classes).sum()
        if value > 0 and decided[b, value - 1]:
            likelihood = inside * shares[value - 1]
        else:
            # Not one of the decided classes, and that is all.
            likelihood = 1 - inside * shares[decided[b].numpy()].sum()
        w = weights[b, y, x].item()
        total -= w * math.log(likelihood)
        weight += w
    loss = shared_map_loss(scores, masks, weights, decided[:, :, None, None])
    assert loss.item() == pytest.approx(total / weight, rel=1e-5)
    unknown = torch.full_like(masks, 255)
    assert shared_map_loss(scores, unknown, weights, decided[:, :, None, None]) == 0


def test_the_gradient_of_a_shared_foreground_is_finite():
    scores = torch.tensor([80.0, -80.0, 0.0]).view(1, 3, 1, 1).requires_grad_()
    for value, decided in ((0, [True, True]), (1, [True, False]), (255, [True, True])):
        masks = torch.full((1, 8, 8), value, dtype=torch.uint8)
        loss = shared_map_loss(
            scores,
            masks,
            torch.ones(1, 8, 8),
            torch.tensor(decided).view(1, 2, 1, 1),
        )
        loss.backward()
        assert scores.grad.isfinite().all()


def test_a_shared_foreground_is_learned_with_the_classes_in_it():
    batch = make_batch(12)
    inside, blue = batch.masks == 1, torch.arange(12) >= 6
    images = batch.images.clone()
    images[blue, 2] += 0.3
    masks = inside * (1 + blue.byte())[:, None, None]
    taught = batch.with_pixels(images, masks, batch.weights)
    torch.manual_seed(0)
    module = CamClassifier(
        num_classes=2, width=8, pooled_share=0.1, shared_foreground=True
    )
    task = SupervisedTask(module, augment=False)
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    for step in range(40):
        optimizer.zero_grad()
        task.training_step(taught, context(step)).loss.backward()
        optimizer.step()
    with torch.no_grad():
        maps = module.show(module(images).cam)
    cells = masks[:, ::8, ::8]
    assert maps.sum(1)[cells == 0].mean() < 0.2
    for column in (0, 1):
        own = cells == column + 1
        assert maps[:, column][own].mean() > 0.8
        assert maps[:, 1 - column][own].mean() < 0.1
