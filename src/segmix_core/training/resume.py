"""Save and restore the state of a training, to resume it exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segmix_core.errors import CheckpointError
from segmix_core.models.checkpoint import (
    ORIGIN,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from segmix_core.training.optim import (
    AveragedWeights,
    load_optimizer_tensors,
    optimizer_tensors,
)
from segmix_core.training.task import Task

BEST = "best"
"""Name of the checkpoint of the best epoch."""
_WEIGHTS, _OPTIMIZER = "weights/", "optimizer/"


@dataclass(frozen=True, slots=True)
class CheckpointPlan:
    """Where to write checkpoints, and their metadata.

    Attributes
    ----------
    folder
        Contains ``last`` and, if requested, ``best``.
    kind, arguments, class_names
        See :class:`segmix_core.models.checkpoint.Checkpoint`.
    origin
        Origin of the initial weights, as JSON.
    """

    folder: Path
    kind: str
    arguments: Mapping[str, Any]
    class_names: Sequence[str]
    origin: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def save(
        self,
        name: str,
        weights: Mapping[str, Tensor],
        step: int,
        extra: Mapping[str, Any],
        training: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Write the checkpoint ``name``."""
        save_checkpoint(
            self.folder / name,
            module=weights,
            arguments=self.arguments,
            kind=self.kind,
            class_names=self.class_names,
            step=step,
            extra={**extra, ORIGIN: dict(self.origin)},
            training=training,
        )


@dataclass(slots=True)
class TrainState:
    """The state of a training.

    Attributes
    ----------
    unmeasured
        Finished epoch that was not validated when the run stopped.
    first_loss
        Loss of the first step; None before it.
    """

    task: Task
    optimizer: torch.optim.Optimizer
    averaged: AveragedWeights | None
    step: int = 0
    pieces: int = 1
    best_score: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    unmeasured: int | None = None
    first_loss: float | None = None

    @property
    def predicting(self) -> Mapping[str, Tensor]:
        """Weights used for prediction."""
        if self.averaged is not None:
            return self.averaged.tensors
        state: dict[str, Tensor] = self.task.module.state_dict()
        return state


def save_train_state(
    state: TrainState, plan: CheckpointPlan, terms: Mapping[str, Any]
) -> None:
    """Write the checkpoint ``last``.

    Parameters
    ----------
    state
        State to write.
    plan
        Where to write it.
    terms
        JSON values that must not change when the run is resumed.
    """
    module = state.task.module
    training = {
        _OPTIMIZER + name: tensor
        for name, tensor in optimizer_tensors(state.optimizer, module).items()
    }
    if state.averaged is not None:
        # Frozen weights equal their average, so a large encoder is stored once.
        training |= {
            _WEIGHTS + name: tensor
            for name, tensor in module.state_dict().items()
            if not torch.equal(tensor, state.averaged.tensors[name])
        }
    extra = {
        "terms": dict(terms),
        "task": state.task.state(),
        "pieces": state.pieces,
        "best_score": state.best_score,
        "scores": state.scores,
        "unmeasured": state.unmeasured,
        "first_loss": state.first_loss,
    }
    plan.save("last", state.predicting, state.step, extra, training)


def load_train_state(
    state: TrainState, folder: Path, plan: CheckpointPlan, terms: Mapping[str, Any]
) -> None:
    """Restore the checkpoint in ``folder``.

    Raises
    ------
    CheckpointError
        If it is damaged, from another network, or ``terms`` differ.
    """
    checkpoint = load_checkpoint(
        folder, kind=plan.kind, class_names=plan.class_names, with_training=True
    )
    known = checkpoint.extra.get("terms", {})
    for name, value in terms.items():
        if known.get(name) != value:
            raise CheckpointError(
                f"The run in {folder} has {name.replace('_', ' ')} "
                f"{known.get(name, 'none')}, not {value}.",
                "The settings and tiles of a resumed run must not change; start a new "
                "run instead.",
            )
    module = state.task.module
    tensors = checkpoint.training
    if state.averaged is not None:
        load_weights(module, checkpoint.weights)
        state.averaged.load(checkpoint.weights)
        load_weights(module, checkpoint.weights | _below(tensors, _WEIGHTS))
    else:
        load_weights(module, checkpoint.weights)
    load_optimizer_tensors(state.optimizer, module, _below(tensors, _OPTIMIZER))
    state.task.load_state(checkpoint.extra["task"])
    state.step = checkpoint.step
    state.pieces = checkpoint.extra["pieces"]
    state.best_score = checkpoint.extra["best_score"]
    state.scores = checkpoint.extra["scores"]
    state.unmeasured = checkpoint.extra["unmeasured"]
    state.first_loss = checkpoint.extra["first_loss"]


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
