"""The epoch whose weights are kept."""

from pathlib import Path

import torch
from torch import nn

from segmix_core.events import (
    Metrics,
)
from segmix_core.models.checkpoint import has_checkpoint, load_checkpoint
from tests.core.training.brightness import BrightnessTask, Recorder, train


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
