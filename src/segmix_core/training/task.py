"""The interfaces of the training loop: tasks, loaders and listeners.

A task owns a module and knows its losses; the loop in
:mod:`segmix_core.training.trainer` knows neither. :class:`Listener` is satisfied by
:class:`segmix_core.runs.RunWriter` without either importing the other.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from segmix_core.data.batch import Batch
from segmix_core.events import Event

PreviewArrays = dict[str, npt.NDArray[np.generic]]
"""Arrays of one preview by name; see :mod:`segmix_core.runs.previews`."""


@dataclass(frozen=True, slots=True)
class StepContext:
    """The position of a step in the run.

    Attributes
    ----------
    step, total_steps
        ``step`` counts optimizer steps from 0 to ``total_steps - 1``.
    epoch
        From 0.
    generator
        On the CPU, seeded from (seed, step), so that a resumed run draws the same.
    wants_preview
        Whether a preview is due; making one is optional.
    """

    step: int
    total_steps: int
    epoch: int
    generator: torch.Generator
    wants_preview: bool = False


@dataclass(frozen=True, slots=True)
class StepResult:
    """The output of a step.

    Attributes
    ----------
    loss
        Scalar with gradient, a mean over what :meth:`Task.amount` counts.
    parts
        Named scalars for the curves. Tensors are read only for display, so a step on a
        GPU does not wait for them.
    events
        Other events, such as decisions of the curriculum.
    previews
        Arrays by content ("shuffled", "cam"), if ``wants_preview`` was set.
    """

    loss: Tensor
    parts: Mapping[str, float | Tensor] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    previews: Mapping[str, PreviewArrays] = field(default_factory=dict)


class Task(Protocol):
    """A kind of training."""

    @property
    def module(self) -> nn.Module:
        """The module whose parameters are trained.

        The loop moves it to the device and enables autocast for steps.
        """

    @property
    def min_batch(self) -> int:
        """Fewest tiles per step: 1, or 2 if tiles are combined in pairs."""

    def training_step(self, batch: Batch, context: StepContext) -> StepResult:
        """Return the loss of ``batch``; the loop does the backward pass.

        If memory is short, a step has several calls with parts of the batch, each of at
        least ``min_batch`` tiles. After a call that ran out of memory, the state is
        restored by :meth:`load_state` and the call is repeated with fewer tiles.
        """

    def amount(self, batch: Batch) -> float:
        """Return the count that the loss is a mean over, such as the known labels.

        The weight of a part of a batch when gradients are summed.
        """

    def epoch_end(self, epoch: int, step: int) -> Mapping[str, PreviewArrays]:
        """Return previews of the finished epoch, or none."""

    def state(self) -> dict[str, Any]:
        """Return the state other than the module's weights, as JSON values."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore the result of :meth:`state`."""


class Loader(Protocol):
    """A source of batches."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""

    def batches(self, epoch: int, first: int = 0) -> Generator[Batch, None, None]:
        """Yield the batches of an epoch, starting at number ``first``."""


class Listener(Protocol):
    """Receives the events of a run."""

    def emit(self, event: Event) -> None:
        """Receive an event."""

    def should_stop(self) -> bool:
        """Return whether the run should stop after this step."""

    def save_preview(
        self, step: int, content: str, **arrays: npt.NDArray[np.generic]
    ) -> None:
        """Store arrays for the viewer."""
