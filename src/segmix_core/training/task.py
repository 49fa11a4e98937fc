"""What the training loop asks of a task, and whom it tells.

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
    """Where in the run a step is.

    Attributes
    ----------
    step, total_steps
        ``step`` counts optimizer steps from 0 to ``total_steps - 1``.
    epoch
        From 0.
    generator
        On the CPU, seeded from (seed, step) alone: a resumed run draws the same.
    wants_preview
        The loop has room for a preview now; making one is optional.
    """

    step: int
    total_steps: int
    epoch: int
    generator: torch.Generator
    wants_preview: bool = False


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step gives back.

    Attributes
    ----------
    loss
        Scalar with gradient, a mean over what :meth:`Task.amount` counts.
    parts
        Named scalars for the curves. Tensors are read only when they are shown, so
        a step on a GPU does not wait for them.
    events
        Further news, e.g. decisions of the curriculum.
    previews
        Arrays by content ("shuffled", "cam"), if ``wants_preview`` was set.
    """

    loss: Tensor
    parts: Mapping[str, float | Tensor] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    previews: Mapping[str, PreviewArrays] = field(default_factory=dict)


class Task(Protocol):
    """One kind of training."""

    @property
    def module(self) -> nn.Module:
        """The module whose parameters are trained.

        The loop moves it to the device; autocast is on where a step is asked for.
        """

    @property
    def min_batch(self) -> int:
        """Fewest tiles a step can work with: 1, or 2 where tiles meet in pairs."""

    def training_step(self, batch: Batch, context: StepContext) -> StepResult:
        """Return the loss of ``batch``; the loop does the backward pass.

        Where memory is short, one step is several calls with parts of the batch,
        of ``min_batch`` tiles or more each. A call that ended in "out of memory" is
        taken back through :meth:`load_state` and made again with fewer tiles.
        """

    def amount(self, batch: Batch) -> float:
        """Return what the loss of a batch is a mean over, such as its known labels.

        Parts of a batch weigh by it, whose gradients are summed.
        """

    def epoch_end(self, epoch: int, step: int) -> Mapping[str, PreviewArrays]:
        """Return previews of the finished epoch, maybe none."""

    def state(self) -> dict[str, Any]:
        """Return as JSON what the task remembers beside the module's weights."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` returned."""


class Loader(Protocol):
    """Where batches come from."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""

    def batches(self, epoch: int, first: int = 0) -> Generator[Batch, None, None]:
        """Yield the batches of an epoch, from number ``first`` on."""


class Listener(Protocol):
    """Who follows a run."""

    def emit(self, event: Event) -> None:
        """Take note of an event."""

    def should_stop(self) -> bool:
        """Say whether the user wants the run to end after this step."""

    def save_preview(
        self, step: int, content: str, **arrays: npt.NDArray[np.generic]
    ) -> None:
        """Store arrays for the viewer."""
