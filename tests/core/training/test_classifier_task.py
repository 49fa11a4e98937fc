import copy
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from segmix_core.curriculum.level import ShuffleScope
from segmix_core.data.batch import Batch
from segmix_core.events import CurriculumDecided
from segmix_core.training.losses import LossWeights
from tests.core.training.textures import TOTAL, context, make_batch, make_task
from tests.reference import shuffle as reference

if TYPE_CHECKING:
    from segmix_core.training.task import Task


def train(task, steps, optimizer=None):
    task.module.train()
    optimizer = optimizer or torch.optim.AdamW(task.module.parameters(), 5e-3)
    results = []
    for step in steps:
        result = task.training_step(make_batch(seed=step), context(step))
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
        results.append((result.loss.item(), result.parts, result.events))
    return results


def test_the_task_is_one_the_loop_can_train():
    task: Task = make_task(strategy="hold")
    assert task.min_batch == 2
    assert make_task(second_view=True).min_batch == 1
    alone = make_task(strategy="hold", scope=ShuffleScope(1, in_place=False))
    assert alone.min_batch == 1
    assert alone.training_step(make_batch(1), context(0)).loss > 0


@pytest.mark.parametrize("size", [64, 96, 128])
def test_every_term_is_computed_in_bf16(size):
    # Views are as large, three quarters and half as large.
    weights = LossWeights(er=1, puzzle=1)
    task = make_task(second_view=True, strategy="hold", weights=weights)
    exact = task.training_step(make_batch(size=size), context(0)).loss
    task = make_task(second_view=True, strategy="hold", weights=weights)
    with torch.autocast("cpu", torch.bfloat16):
        loss = task.training_step(make_batch(size=size), context(0)).loss
    loss.backward()
    torch.testing.assert_close(loss.float(), exact, rtol=0.05, atol=0)


@pytest.mark.parametrize(
    ("second_view", "strategy", "parts"),
    [
        (False, None, {"classification"}),
        (True, None, {"classification", "classification_2", "er", "ecr"}),
        (False, "fixed", {"classification", "shuffled"}),
        (True, "hold", {"classification", "classification_2", "er", "ecr", "shuffled"}),
    ],
)
def test_terms_of_each_method(second_view, strategy, parts):
    weights = LossWeights(er=1)
    task = make_task(second_view=second_view, strategy=strategy, weights=weights)
    result = task.training_step(make_batch(), context(0))
    levels = {"patch_size", "shuffle_ratio"} if strategy else set()
    assert set(result.parts) == parts | levels
    values = {name: float(result.parts[name]) for name in parts}
    second = values.pop("classification_2", values["classification"])
    first = values.pop("classification")
    expected = (first + second) / 2 + sum(values.values())
    assert result.loss.item() == pytest.approx(expected, rel=1e-5)
    result.loss.backward()
    assert task.module.head.weight.grad is not None


def test_puzzle_cam_adds_quarters_and_grows():
    batch = make_batch()
    for step, alpha in ((0, 0), (10, 0.5), (20, 1), (39, 1)):
        plain = make_task(augment=False).training_step(batch, context(step)).loss
        task = make_task(weights=LossWeights(puzzle=4), augment=False)
        result = task.training_step(batch, context(step))
        parts = result.parts
        expected = parts["classification_quarters"] + 4 * alpha * parts["puzzle"]
        assert parts["puzzle"] > 0
        torch.testing.assert_close(result.loss - plain, expected)


def test_extra_terms_learn_too_and_draw_nothing():
    whole = LossWeights(puzzle=4)
    task = make_task(second_view=True, strategy="hold", weights=whole)
    results = train(task, range(TOTAL))
    losses = [float(parts["classification"]) for _, parts, _ in results]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    shown = [
        make_task(strategy="hold", weights=weights)
        .training_step(make_batch(), context(3, wants_preview=True))
        .previews["shuffled"]["sources"]
        for weights in (LossWeights(), whole)
    ]
    assert (shown[0] == shown[1]).all()


def test_weights_multiply_their_terms():
    batch = make_batch()
    whole = make_task(second_view=True, strategy="hold")
    some = make_task(
        second_view=True, strategy="hold", weights=LossWeights(shuffle=0, er=2, ecr=0.5)
    )
    parts = whole.training_step(batch, context(0)).parts
    loss = some.training_step(batch, context(0)).loss
    first = (parts["classification"] + parts["classification_2"]) / 2
    torch.testing.assert_close(
        loss.detach(), first + 2 * parts["er"] + parts["ecr"] / 2
    )


def test_it_learns_and_the_maps_show_where():
    task = make_task(second_view=True, strategy="hold")
    results = train(task, range(TOTAL))
    losses = [float(parts["classification"]) for _, parts, _ in results]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    batch = make_batch(32, size=64, seed=99)
    both = batch.labels.sum(1) == 2
    task.module.eval()
    with torch.no_grad():
        cam = task.module(batch.images[both]).cam
    bright_wins = cam[:, 0] > cam[:, 1]
    top, bottom = bright_wins[:, :4].float().mean(), bright_wins[:, 4:].float().mean()
    assert top > bottom + 0.3


def test_unknown_labels_take_part_in_nothing():
    task = make_task(second_view=True, strategy="hold")
    batch = make_batch()
    unknown = Batch(batch.images, torch.full((6, 2), -1.0), batch.tile_ids, batch.valid)
    result = task.training_step(unknown, context(0))
    losses = ("classification", "classification_2", "er", "ecr", "shuffled")
    assert all(result.parts[name] == 0 for name in losses)
    assert result.loss == 0
    # What is recorded has no weight, and the next step goes on.
    task.training_step(batch, context(1))
    assert task.feedback.controller.state.feedback is None


def test_decisions_come_as_events_in_the_step_after():
    task = make_task(strategy="hold")
    events = [news for _, _, news in train(task, range(TOTAL))]
    steps = [step for step, news in enumerate(events) if news]
    assert steps == list(range(10, TOTAL, 4))
    first = events[10][0]
    assert isinstance(first, CurriculumDecided)
    assert first.step == 10
    assert 0 < first.threshold < 3


def test_a_step_in_parts_is_one_step_of_the_curriculum():
    task = make_task(strategy="hold")
    batch = make_batch(4)
    for step in range(12):
        for part in (batch.part(0, 2), batch.part(2, 4)):
            task.training_step(part, context(step))
    assert task.feedback.controller.state.step == 11


def test_only_the_original_view_moves_the_running_statistics():
    plain = make_task()
    everything = LossWeights(puzzle=1)
    whole = make_task(second_view=True, strategy="hold", weights=everything)
    for task in (plain, whole):
        task.module.train()
        task.training_step(make_batch(), context(0))
    expected = dict(plain.module.named_buffers())
    for name, value in whole.module.named_buffers():
        assert torch.equal(value, expected[name]), name


def test_resume_equals_an_unbroken_run_bit_for_bit():
    whole = make_task(second_view=True, strategy="hold")
    optimizer = torch.optim.AdamW(whole.module.parameters(), 5e-3)
    train(whole, range(17), optimizer)
    part = make_task(second_view=True, strategy="hold")
    part.module.load_state_dict(whole.module.state_dict())
    part.load_state(json.loads(json.dumps(whole.state())))
    other = torch.optim.AdamW(part.module.parameters(), 5e-3)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    ends = [
        train(task, range(17, 24), optim)
        for task, optim in ((whole, optimizer), (part, other))
    ]
    assert [loss for loss, _, _ in ends[0]] == [loss for loss, _, _ in ends[1]]
    assert whole.state() == part.state()
    weights = part.module.state_dict()
    assert all(
        torch.equal(value, weights[name])
        for name, value in whole.module.state_dict().items()
    )


def test_a_resumed_run_keeps_its_sums_on_the_device_of_the_module():
    task = make_task(strategy="hold")
    task.training_step(make_batch(), context(0))
    state = task.state()
    # Of a tensor on this device nothing can be read, wherever it is.
    task.module.to("meta")
    task.load_state(state)
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        task.feedback.decide(1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_resumed_run_shares_its_sums_over_nccl(tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("nccl", store=store, rank=0, world_size=1)
    try:
        task, again = (make_task(strategy="hold") for _ in range(2))
        batch = make_batch().to(torch.device("cuda"))
        for part in (task, again):
            part.module.to("cuda")
        task.training_step(batch, context(0))
        again.load_state(task.state())
        again.training_step(batch, context(1))
        assert again.feedback.controller.state.step == 1
    finally:
        torch.distributed.destroy_process_group()


def test_states_of_another_method():
    shuffled, plain = make_task(strategy="hold"), make_task()
    assert plain.state() == {}
    plain.load_state({})
    for task, other in ((shuffled, plain), (plain, shuffled)):
        with pytest.raises(ValueError, match="another method"):
            task.load_state(other.state())


@pytest.mark.parametrize(
    ("count", "group_size", "in_place", "shown"),
    [
        (6, 2, True, 6),
        (40, 2, True, 16),
        (40, 3, True, 15),
        (40, 20, True, 20),
        (20, 0, True, 20),
        (40, 3, False, 15),
        (40, 1, False, 16),
    ],
)
def test_preview_of_the_shuffle_can_be_undone(count, group_size, in_place, shown):
    scope = ShuffleScope(group_size, in_place)
    task = make_task(strategy="hold", scope=scope, augment=False)
    batch = make_batch(count)
    result = task.training_step(batch, context(0, wants_preview=True))
    preview = result.previews["shuffled"]
    assert preview["images"].shape == (shown, 32, 32, 3)
    assert preview["images"].dtype == np.uint8
    assert preview["tile_ids"].tolist() == batch.tile_ids[:shown].tolist()
    assert (int(preview["patch_size"]), float(preview["shuffle_ratio"])) == (8, 0.5)
    patch = int(preview["patch_size"])
    original = (255 * batch.images).round().byte().permute(0, 2, 3, 1).numpy()
    sources, positions = preview["sources"], preview["positions"]
    expected = reference.gather_patches(
        original.transpose(0, 3, 1, 2), sources, positions
    )[:shown]
    assert sources.shape == (shown, 32 // patch, 32 // patch)
    assert (preview["images"].transpose(0, 3, 1, 2) == expected).all()
    assert not task.training_step(batch, context(1)).previews


def test_maps_of_the_preview_tiles():
    tiles = make_batch(3)
    tiles.labels[0] = torch.tensor([0.0, 1.0])
    task = make_task(preview_tiles=tiles)
    task.module.train()
    preview = task.epoch_end(0, 10)["cam"]
    assert task.module.training
    assert preview["cams"].shape == (3, 2, 4, 4)
    assert preview["cams"].dtype == np.uint8
    assert preview["cams"][0, 0].max() == 0
    assert preview["tile_ids"].tolist() == [100, 101, 102]
    assert make_task().epoch_end(0, 10) == {}


def test_options_of_the_shuffle_and_of_augmentation_are_used():
    def shown(**changes):
        task = make_task(strategy="fixed", **changes)
        result = task.training_step(make_batch(8), context(0, wants_preview=True))
        return result.previews["shuffled"]

    plain = shown(augment=False)
    assert (shown()["images"] != plain["images"]).any()
    moved = [
        (
            shown(scope=ShuffleScope(exact=exact))["sources"]
            != np.arange(8)[:, None, None]
        ).sum()
        for exact in (True, False)
    ]
    assert moved[0] > moved[1]


@pytest.mark.parametrize(
    ("group_size", "in_place"), [(0, True), (3, False), (1, False)]
)
def test_patches_of_any_origin_are_learned_from(group_size, in_place):
    task = make_task(strategy="fixed", scope=ShuffleScope(group_size, in_place))
    result = task.training_step(make_batch(7, size=64), context(30))
    assert result.parts["shuffled"] > 0
    result.loss.backward()


def test_tiles_that_are_not_square():
    task = make_task(second_view=True, strategy="hold")
    result = task.training_step(make_batch(4, size=32, width=48), context(0))
    assert torch.isfinite(result.loss)


def test_half_precision_gives_about_the_same_loss():
    losses = []
    for enabled in (False, True):
        task = make_task(
            second_view=True,
            strategy="hold",
            weights=LossWeights(puzzle=4),
        )
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            result = task.training_step(make_batch(), context(30, wants_preview=True))
        assert result.loss.dtype == torch.float32
        result.loss.backward()
        losses.append(result.loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
