"""The training loop: its end, going on, its news."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from segmix_core.data.batch import Batch
from segmix_core.errors import CheckpointError
from segmix_core.events import (
    CheckpointWritten,
    CurriculumDecided,
    Metrics,
    Progress,
)
from segmix_core.models.checkpoint import load_checkpoint
from segmix_core.training import trainer
from segmix_core.training.fit_settings import FitSettings
from segmix_core.training.task import StepContext, StepResult
from tests.core.training.brightness import (
    BrightnessTask,
    Recorder,
    assert_same_end,
    final,
    train,
)


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
    assert first.reason == "canceled"
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


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"epochs": 4}, {"average": False}, {"loss": "other"}]
)
def test_other_settings_cannot_go_on(tmp_path: Path, changes: dict[str, Any]) -> None:
    train(tmp_path, BrightnessTask(), epochs=1)
    name = {"average": "averaged weights"}.get(*changes, *changes)
    with pytest.raises(CheckpointError, match=f"The run in .* has {name}"):
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
    with pytest.raises(ValueError, match="Epochs must be >= 1"):
        FitSettings(**{"epochs": 1, "learning_rate": 1.0, **wrong})


def test_the_loop_knows_no_task() -> None:
    text = Path(trainer.__file__).read_text(encoding="utf-8").lower()
    assert not re.search(r"\b(cams?|shuffl\w*|masks?)\b", text)


def test_the_first_maps_come_early(tmp_path: Path) -> None:
    task, listener = BrightnessTask(), Recorder()
    train(tmp_path, task, listener, epochs=5)
    maps = [step for step, content in listener.previews if content == "cam"]
    assert maps == [5, 10, 15, 20, 20, 25]
