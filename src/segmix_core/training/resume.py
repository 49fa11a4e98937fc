"""What a training keeps to go on as if it had never stopped."""

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
    """Where checkpoints go, and what they say of themselves.

    Attributes
    ----------
    folder
        Holds ``last`` and, where it is wanted, ``best``.
    kind, arguments, class_names
        See :class:`segmix_core.models.checkpoint.Checkpoint`.
    origin
        Where the first weights came from, as JSON.
    """

    folder: Path
    kind: str
    arguments: Mapping[str, Any]
    class_names: Sequence[str]
    origin: Mapping[str, Any] = field(default_factory=dict)

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
class Trainee:
    """Everything that changes while training.

    Attributes
    ----------
    unmeasured
        Epoch that was done when the run stopped, but not measured to the end.
    first_loss
        Of the first step; None before it.
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
        """State of the module that predicts."""
        if self.averaged is not None:
            return self.averaged.tensors
        state: dict[str, Tensor] = self.task.module.state_dict()
        return state


def save_trainee(
    trainee: Trainee, plan: CheckpointPlan, terms: Mapping[str, Any]
) -> None:
    """Write the checkpoint ``last``.

    Parameters
    ----------
    trainee
        What to write.
    plan
        Where.
    terms
        JSON values that have to be the same when the run goes on.
    """
    module = trainee.task.module
    training = {
        _OPTIMIZER + name: tensor
        for name, tensor in optimizer_tensors(trainee.optimizer, module).items()
    }
    if trainee.averaged is not None:
        # What is frozen is its own average; a large encoder is stored once.
        training |= {
            _WEIGHTS + name: tensor
            for name, tensor in module.state_dict().items()
            if not torch.equal(tensor, trainee.averaged.tensors[name])
        }
    extra = {
        "terms": dict(terms),
        "task": trainee.task.state(),
        "pieces": trainee.pieces,
        "best_score": trainee.best_score,
        "scores": trainee.scores,
        "unmeasured": trainee.unmeasured,
        "first_loss": trainee.first_loss,
    }
    plan.save("last", trainee.predicting, trainee.step, extra, training)


def load_trainee(
    trainee: Trainee, folder: Path, plan: CheckpointPlan, terms: Mapping[str, Any]
) -> None:
    """Go on from the checkpoint in ``folder``.

    Raises
    ------
    CheckpointError
        If it is broken, of another network, or of a run on other terms.
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
    module = trainee.task.module
    tensors = checkpoint.training
    if trainee.averaged is not None:
        load_weights(module, checkpoint.weights)
        trainee.averaged.load(checkpoint.weights)
        load_weights(module, checkpoint.weights | _below(tensors, _WEIGHTS))
    else:
        load_weights(module, checkpoint.weights)
    load_optimizer_tensors(trainee.optimizer, module, _below(tensors, _OPTIMIZER))
    trainee.task.load_state(checkpoint.extra["task"])
    trainee.step = checkpoint.step
    trainee.pieces = checkpoint.extra["pieces"]
    trainee.best_score = checkpoint.extra["best_score"]
    trainee.scores = checkpoint.extra["scores"]
    trainee.unmeasured = checkpoint.extra["unmeasured"]
    trainee.first_loss = checkpoint.extra["first_loss"]


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
