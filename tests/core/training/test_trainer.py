import re
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from segmix_core.data.batch import Batch
from segmix_core.errors import CheckpointError, JobError
from segmix_core.events import (
    CheckpointWritten,
    CurriculumDecided,
    Event,
    Metrics,
    Progress,
    Warned,
)
from segmix_core.models.checkpoint import has_checkpoint, load_checkpoint
from segmix_core.training import trainer
from segmix_core.training.device import make_fabric
from segmix_core.training.fit_settings import FitResult, FitSettings
from segmix_core.training.resume import CheckpointPlan
from segmix_core.training.stepper import is_out_of_memory
from segmix_core.training.task import PreviewArrays, StepContext, StepResult
from segmix_core.training.trainer import fit
from segmix_core.training.validation import Validate


class Net(nn.Module):
    """Small, with everything that has a state: statistics and random drops."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.Dropout2d(0.3),
            nn.Conv2d(4, 1, 1),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images).mean((1, 2, 3))


class BrightnessTask:
    """Learn the brightness of images that get noise; remembers a mean loss."""

    def __init__(self, min_batch: int = 1, most_tiles: int = 1000) -> None:
        torch.manual_seed(0)
        self.module = Net()
        self.min_batch, self.most_tiles = min_batch, most_tiles
        self.mean_loss = 0.0
        self.poisoned: int | None = None
        self.sizes: list[int] = []
        self.steps: list[int] = []
        self.wanted: list[int] = []

    def training_step(self, batch: Batch, context: StepContext) -> StepResult:
        self.mean_loss *= 0.9
        if len(batch) > self.most_tiles:
            raise torch.OutOfMemoryError("out of memory")
        self.sizes.append(len(batch))
        self.steps.append(context.step)
        noise = torch.rand(batch.images.shape, generator=context.generator)
        target = batch.images.mean((1, 2, 3))
        loss = (self.module(batch.images + noise) - target).square().mean()
        if context.step == self.poisoned:
            loss = loss * torch.nan
        self.mean_loss += 0.1 * float(loss.detach())
        previews: dict[str, PreviewArrays] = {}
        if context.wants_preview:
            self.wanted.append(context.step)
            previews["shuffled"] = {"tile_ids": batch.tile_ids.numpy()}
        event = CurriculumDecided(
            step=context.step,
            patch_size=8,
            shuffle_ratio=0.5,
            feedback=None,
            threshold=None,
            reason="test",
        )
        return StepResult(
            loss, {"square": loss.detach(), "one": 1.0}, (event,), previews
        )

    def epoch_end(self, epoch: int, step: int) -> Mapping[str, PreviewArrays]:
        assert not self.module.training
        return {"cam": {"cams": np.full((1, 1, 2, 2), epoch, np.uint8)}}

    def state(self) -> dict[str, Any]:
        return {"mean_loss": self.mean_loss}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.mean_loss = state["mean_loss"]


class Images:
    """Five batches of four images an epoch, all different."""

    steps_per_epoch = 5

    def batches(self, epoch: int, first: int = 0) -> Generator[Batch, None, None]:
        for number in range(first, self.steps_per_epoch):
            generator = torch.Generator().manual_seed(100 * epoch + number)
            yield Batch(
                images=torch.rand(4, 3, 8, 8, generator=generator),
                labels=torch.zeros(4, 1),
                tile_ids=torch.arange(4) + 10 * number,
                valid=torch.full((4, 2), 8),
            )


class Recorder:
    def __init__(self, stop_after: int | None = None) -> None:
        self.events: list[Event] = []
        self.previews: list[tuple[int, str]] = []
        self.asked = 0
        self.stop_after = stop_after

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def should_stop(self) -> bool:
        self.asked += 1
        return self.stop_after is not None and self.asked >= self.stop_after

    def save_preview(self, step: int, content: str, **arrays: object) -> None:
        assert arrays
        self.previews.append((step, content))

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def plan(folder: Path) -> CheckpointPlan:
    return CheckpointPlan(folder / "checkpoints", "classifier", {}, ("a",))


def train(
    folder: Path,
    task: BrightnessTask,
    listener: Recorder | None = None,
    *,
    resume: bool = False,
    validate: Validate | None = None,
    **changes: Any,
) -> FitResult:
    settings = FitSettings(**{"epochs": 3, "learning_rate": 0.01, **changes})
    return fit(
        task,
        Images(),
        settings,
        fabric=make_fabric(torch.device("cpu")),
        listener=listener or Recorder(),
        checkpoints=plan(folder),
        validate=validate,
        resume_from=folder / "checkpoints" / "last" if resume else None,
    )


def final(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    checkpoint = load_checkpoint(folder / "checkpoints" / "last", with_training=True)
    return {**checkpoint.weights, **checkpoint.training}, checkpoint.extra["task"]


def assert_same_end(one: Path, other: Path) -> None:
    (ours, our_task), (theirs, their_task) = final(one), final(other)
    assert our_task == their_task
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def test_training_learns_and_completes(tmp_path: Path) -> None:
    task, listener = BrightnessTask(), Recorder()
    result = train(tmp_path, task, listener, epochs=20, learning_rate=0.05)
    assert (result.reason, result.step, result.total_steps) == ("completed", 100, 100)
    losses = [
        m.values["epoch_loss"] for m in listener.of(Metrics) if "epoch_loss" in m.values
    ]
    assert len(losses) == 20
    assert losses[-1] < losses[0] / 3
    assert task.steps == list(range(100))


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("stop_after", [1, 4, 5, 7])
def test_a_stopped_run_goes_on_bit_for_bit(
    tmp_path: Path, average: bool, stop_after: int
) -> None:
    whole = train(tmp_path / "whole", BrightnessTask(), average=average)
    assert whole.step == 15
    parts = tmp_path / "parts"
    listener = Recorder(stop_after=stop_after)
    first = train(parts, BrightnessTask(), listener, average=average)
    assert first.reason == "cancelled"
    # One question a step, and one more after each epoch's last.
    assert first.step == stop_after
    assert listener.of(CheckpointWritten)[-1].step == stop_after
    torch.rand(17)
    second = train(parts, BrightnessTask(), resume=True, average=average)
    assert (second.reason, second.step) == ("completed", 15)
    assert_same_end(tmp_path / "whole", parts)


def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    train(tmp_path / "whole", BrightnessTask())

    class Killed(BrightnessTask):
        def training_step(self, batch: Batch, context: StepContext) -> StepResult:
            if context.step == 8:
                raise KeyboardInterrupt
            return super().training_step(batch, context)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", Killed(), checkpoint_seconds=0)
    assert load_checkpoint(tmp_path / "parts" / "checkpoints" / "last").step == 8
    train(tmp_path / "parts", BrightnessTask(), resume=True)
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    train(tmp_path, BrightnessTask())
    task = BrightnessTask()
    assert train(tmp_path, task, resume=True).reason == "completed"
    assert task.steps == []


@pytest.mark.parametrize("changes", [{"seed": 1}, {"epochs": 4}, {"average": False}])
def test_other_settings_cannot_go_on(tmp_path: Path, changes: dict[str, Any]) -> None:
    train(tmp_path, BrightnessTask(), epochs=1)
    name = {"average": "averaged weights"}.get(*changes, *changes)
    with pytest.raises(CheckpointError, match=f"a run with {name}"):
        train(tmp_path, BrightnessTask(), resume=True, **{"epochs": 1, **changes})


def test_module_ends_with_the_weights_of_the_checkpoint(tmp_path: Path) -> None:
    task = BrightnessTask()
    train(tmp_path, task)
    weights = load_checkpoint(tmp_path / "checkpoints" / "last").weights
    for name, tensor in task.module.state_dict().items():
        assert torch.equal(tensor, weights[name])


def test_averaged_weights_are_not_the_last(tmp_path: Path) -> None:
    train(tmp_path / "a", BrightnessTask(), average=True)
    train(tmp_path / "b", BrightnessTask(), average=False)
    averaged, last = final(tmp_path / "a")[0], final(tmp_path / "b")[0]
    name = "layers.0.weight"
    assert torch.equal(averaged[f"weights/{name}"], last[name])
    assert not torch.equal(averaged[name], last[name])


def test_undefined_loss_ends_the_run_and_names_step_and_tiles(tmp_path: Path) -> None:
    task = BrightnessTask()
    task.poisoned = 7
    with pytest.raises(JobError, match=r"step 7 on the tiles 20, 21, 22, 23\."):
        train(tmp_path, task, checkpoint_seconds=0)
    assert load_checkpoint(tmp_path / "checkpoints" / "last").step == 7
    assert torch.isfinite(task.module.layers[0].weight).all()


def test_undefined_gradient_ends_the_run(tmp_path: Path) -> None:
    task = BrightnessTask()

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * torch.inf

    task.module.layers[3].weight.register_hook(spoil)
    with pytest.raises(JobError, match="a finite gradient"):
        train(tmp_path, task)


def test_lack_of_memory_halves_the_batch_and_keeps_the_step(tmp_path: Path) -> None:
    task, listener = BrightnessTask(most_tiles=2), Recorder()
    train(tmp_path, task, listener)
    assert set(task.sizes) == {2}
    assert task.steps == [step for step in range(15) for _ in range(2)]
    (warning,) = listener.of(Warned)
    assert "2 tiles at a time" in warning.message
    checkpoint = load_checkpoint(tmp_path / "checkpoints" / "last")
    assert checkpoint.extra["pieces"] == 2
    # What the task did in the attempt that failed has been taken back.
    plain = BrightnessTask(most_tiles=2)
    train(tmp_path / "again", plain)
    assert plain.mean_loss == task.mean_loss


def test_an_attempt_that_ran_out_of_memory_leaves_no_statistics(tmp_path: Path) -> None:
    class Late(BrightnessTask):
        def training_step(self, batch: Batch, context: StepContext) -> StepResult:
            if len(batch) > self.most_tiles:
                self.module(batch.images)
            return super().training_step(batch, context)

    early, late = BrightnessTask(most_tiles=2), Late(most_tiles=2)
    for name, task in (("early", early), ("late", late)):
        train(tmp_path / name, task, epochs=1)
    expected = early.module.state_dict()
    for name, tensor in late.module.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


class Linear(BrightnessTask):
    """Without noise, drops and statistics, a step does not depend on pieces."""

    def training_step(self, batch: Batch, context: StepContext) -> StepResult:
        if len(batch) > self.most_tiles:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")
        self.sizes.append(len(batch))
        self.module.eval()
        loss = (self.module(batch.images) - batch.images.mean((1, 2, 3))).square()
        return StepResult(loss.mean(), {"square": loss.detach().mean()})


@pytest.mark.parametrize(("most", "smallest"), [(2, 1), (1, 1), (2, 2)])
def test_pieces_add_up_to_the_whole(tmp_path: Path, most: int, smallest: int) -> None:
    whole, pieces = Linear(), Linear(smallest, most)
    seen = Recorder(), Recorder()
    for task, listener in zip((whole, pieces), seen, strict=True):
        train(tmp_path / str(task.most_tiles), task, listener, epochs=1)
    assert set(pieces.sizes) == {most}
    ours, theirs = (m.of(Metrics)[-1].values["epoch_loss"] for m in seen)
    assert ours == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize(("smallest", "named"), [(1, 1), (2, 2)])
def test_lack_of_memory_for_the_smallest_batch(
    tmp_path: Path, smallest: int, named: int
) -> None:
    task = BrightnessTask(smallest, most_tiles=smallest - 1)
    with pytest.raises(JobError, match=rf"memory for {named} tiles of 8 x 8"):
        train(tmp_path, task)


def test_other_errors_are_not_taken_for_lack_of_memory(tmp_path: Path) -> None:
    class Wrong(BrightnessTask):
        def training_step(self, batch: Batch, context: StepContext) -> StepResult:
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        train(tmp_path, Wrong())
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("MPS backend out of memory"))


def test_news_are_complete(tmp_path: Path) -> None:
    task, listener = BrightnessTask(), Recorder()
    train(tmp_path, task, listener)
    metrics = [m for m in listener.of(Metrics) if "loss" in m.values]
    assert metrics[-1].step == 15
    assert metrics[-1].epoch == 2
    assert {"loss", "square", "one", "learning_rate", "grad_norm"} <= set(
        metrics[-1].values
    )
    progress = listener.of(Progress)
    assert (progress[-1].step, progress[-1].total) == (15, 15)
    assert progress[-1].seconds_left == pytest.approx(0)
    assert len(listener.of(CurriculumDecided)) == 15
    assert listener.of(CheckpointWritten)[-1].path == "checkpoints/last"
    assert [p for p in listener.previews if p[1] == "cam"] == [
        (5, "cam"),
        (10, "cam"),
        (15, "cam"),
    ]
    assert listener.previews[0] == (0, "shuffled")


def test_previews_are_rare_unless_wanted_often(tmp_path: Path) -> None:
    rare, often = BrightnessTask(), BrightnessTask()
    train(tmp_path, rare, epochs=5)
    assert rare.wanted == [0, 20]
    train(tmp_path, often, epochs=5, preview_seconds=0)
    assert often.wanted == list(range(25))


def test_news_and_previews_change_no_weights(tmp_path: Path) -> None:
    train(tmp_path / "rare", BrightnessTask())
    train(tmp_path / "often", BrightnessTask(), preview_seconds=0, checkpoint_seconds=0)
    assert_same_end(tmp_path / "rare", tmp_path / "often")


def test_best_epoch_is_kept(tmp_path: Path) -> None:
    scores = iter([0.3, 0.7, 0.5])
    modules = []

    def validate(module: nn.Module) -> dict[str, float]:
        modules.append({name: t.clone() for name, t in module.state_dict().items()})
        return {"score": next(scores), "iou": 0.1}

    listener = Recorder()
    result = train(
        tmp_path, BrightnessTask(), listener, validate=validate, keep_best=True
    )
    assert result.scores == {"score": 0.7, "iou": 0.1}
    best = load_checkpoint(tmp_path / "checkpoints" / "best")
    assert best.step == 10
    assert best.extra["scores"]["score"] == 0.7
    for name, tensor in best.weights.items():
        assert torch.equal(tensor, modules[1][name])
    shown = [
        m.values["val_score"] for m in listener.of(Metrics) if "val_score" in m.values
    ]
    assert shown == [0.3, 0.7, 0.5]


def test_best_epoch_is_remembered_when_a_run_goes_on(tmp_path: Path) -> None:
    def falling(module: nn.Module) -> dict[str, float]:
        return {"score": 0.9}

    def lower(module: nn.Module) -> dict[str, float]:
        return {"score": 0.8}

    kept = {"keep_best": True}
    stopped = Recorder(stop_after=7)
    train(tmp_path, BrightnessTask(), stopped, validate=falling, **kept)
    result = train(tmp_path, BrightnessTask(), resume=True, validate=lower, **kept)
    assert result.scores == {"score": 0.9}
    assert load_checkpoint(tmp_path / "checkpoints" / "best").step == 5


def test_an_epoch_is_measured_when_the_run_goes_on(tmp_path: Path) -> None:
    asked: list[dict[str, torch.Tensor]] = []

    def answer(module: nn.Module) -> dict[str, float]:
        asked.append({name: t.clone() for name, t in module.state_dict().items()})
        # The second epoch is being measured when the user asks to stop.
        return {} if len(asked) == 2 else {"score": 1 / len(asked)}

    stopped, later = Recorder(stop_after=10), Recorder()
    kept = {"keep_best": True}
    train(tmp_path, BrightnessTask(), stopped, validate=answer, **kept)
    assert len(asked) == 2
    train(tmp_path, BrightnessTask(), later, resume=True, validate=answer, **kept)
    assert len(asked) == 4
    assert all(torch.equal(asked[1][name], t) for name, t in asked[2].items())
    shown = {
        m.epoch: m.values["val_score"]
        for m in later.of(Metrics)
        if "val_score" in m.values
    }
    assert shown == {1: 1 / 3, 2: 1 / 4}


def test_without_a_score_the_lowest_loss_is_best(tmp_path: Path) -> None:
    losses = iter([0.7, 0.2, 0.4])
    result = train(
        tmp_path,
        BrightnessTask(),
        validate=lambda module: {"loss": next(losses)},
        keep_best=True,
    )
    assert result.scores == {"loss": 0.2}
    assert load_checkpoint(tmp_path / "checkpoints" / "best").step == 10


def test_the_best_epoch_is_kept_only_where_it_is_wanted(tmp_path: Path) -> None:
    result = train(tmp_path, BrightnessTask(), validate=lambda module: {"loss": 1.0})
    assert result.scores == {"loss": 1.0}
    assert not has_checkpoint(tmp_path / "checkpoints" / "best")


def test_without_scores_there_is_no_best(tmp_path: Path) -> None:
    train(tmp_path, BrightnessTask(), keep_best=True)
    assert not has_checkpoint(tmp_path / "checkpoints" / "best")


def test_learning_rate_decides(tmp_path: Path) -> None:
    train(tmp_path / "a", BrightnessTask(), learning_rate=0.01)
    train(tmp_path / "b", BrightnessTask(), learning_rate=0.02)
    one, other = final(tmp_path / "a")[0], final(tmp_path / "b")[0]
    assert not torch.equal(one["layers.0.weight"], other["layers.0.weight"])


def test_gradient_is_clipped(tmp_path: Path) -> None:
    train(tmp_path / "a", BrightnessTask(), clip_norm=1e-9, weight_decay=0, epochs=1)
    train(tmp_path / "b", BrightnessTask(), clip_norm=1e9, weight_decay=0, epochs=1)
    start = BrightnessTask().module.state_dict()["layers.3.weight"]
    moved = [
        (final(tmp_path / name)[0]["layers.3.weight"] - start).norm() for name in "ab"
    ]
    assert moved[0] < moved[1] / 2


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"learning_rate": 0.0}, {"clip_norm": 0.0}]
)
def test_wrong_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="epochs >= 1"):
        FitSettings(**{"epochs": 1, "learning_rate": 1.0, **wrong})


def test_the_loop_knows_no_task() -> None:
    text = Path(trainer.__file__).read_text(encoding="utf-8").lower()
    assert not re.search(r"\b(cams?|shuffl\w*|masks?)\b", text)
