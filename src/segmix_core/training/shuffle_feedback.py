"""Feed the curriculum with the relative loss of the shuffled tiles."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segmix_core.curriculum.feedback import CurriculumController
from segmix_core.curriculum.level import ShuffleLevel
from segmix_core.events import CurriculumDecided
from segmix_core.training.losses import label_entropy, label_spread


class ShuffleFeedback:
    """Connects the training steps with the curriculum.

    Parameters
    ----------
    controller
        Gets the relative loss once per step: the loss above the entropy of the soft
        labels, divided by that of predicting the class frequencies.
    num_classes
        C.
    """

    def __init__(self, controller: CurriculumController, num_classes: int) -> None:
        self.controller = controller
        self._pending: _PendingLoss | None = None
        # (2, C): tiles with each class, and tiles where it is known.
        self._seen = torch.zeros(2, num_classes)

    @property
    def level(self) -> ShuffleLevel:
        """Current shuffle level."""
        return self.controller.level

    def decide(self, step: int) -> tuple[CurriculumDecided, ...]:
        """Pass the loss of the step before ``step`` to the controller.

        Acts once per step: if memory is short, a step has several calls, which must use
        the same level, and the mean loss counts.
        """
        pending = self._pending
        if pending is None or pending.step == step:
            return ()
        self._pending = None
        loss, weight = pending.mean()
        decided = self.controller.observe(loss, weight=weight)
        return () if decided is None else (decided,)

    def record_loss(
        self, loss: Tensor, labels: Tensor, mixed: Tensor, step: int
    ) -> None:
        """Add the loss of a batch, over all processes that share it.

        All processes of a distributed run need the same curriculum, and to be able to
        resume from each other's state.

        Parameters
        ----------
        loss
            Scalar: the classification loss of the shuffled tiles, without gradient.
        labels, mixed
            (B, C): before and after the shuffle; -1 unknown.
        step
            Number of the step.
        """
        seen = torch.stack([(labels > 0).sum(dim=0), (labels >= 0).sum(dim=0)])
        self._seen = self._seen.to(loss) + _sum_over_processes(seen)
        # Add one tile that half has the class: never 0 or 1.
        frequency = (self._seen[0] + 0.5) / (self._seen[1] + 1)
        beyond = loss - label_entropy(mixed)
        sums = torch.stack([beyond, label_spread(mixed, frequency), loss.new_ones(())])
        sums = _sum_over_processes(len(labels) * sums)
        if self._pending is not None:
            sums = sums + self._pending.sums.to(sums)
        self._pending = _PendingLoss(step, sums)

    def curves(self) -> dict[str, float]:
        """Return the known values of level, feedback and threshold, by name."""
        state = self.controller.state
        values = {
            "patch_size": float(state.level.patch_size),
            "shuffle_ratio": state.level.shuffle_ratio,
            "feedback": state.feedback,
            "threshold": state.threshold,
        }
        return {name: value for name, value in values.items() if value is not None}

    def state(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        pending = self._pending
        return {
            "curriculum": self.controller.state_dict(),
            "seen": self._seen.tolist(),
            "pending": pending
            and {"step": pending.step, "sums": pending.sums.tolist()},
        }

    def load_state(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Restore :meth:`state`.

        Parameters
        ----------
        state
            As JSON values.
        device
            Device of the losses, where processes exchange their sums.

        Raises
        ------
        ValueError
            If it is from a run with other patch sizes.
        """
        self.controller.load_state_dict(state["curriculum"])
        self._seen = torch.tensor(state["seen"], device=device)
        pending = state["pending"]
        self._pending = None
        if pending is not None:
            sums = torch.tensor(pending["sums"], device=device)
            self._pending = _PendingLoss(pending["step"], sums)


@dataclass(frozen=True, slots=True)
class _PendingLoss:
    """The loss of the shuffled tiles of a step, not yet passed on.

    ``sums`` are three sums over tiles: the loss above the label entropy, the spread of
    the labels, and one. They stay on the device until the next step, so that no step
    waits for them.
    """

    step: int
    sums: Tensor

    def mean(self) -> tuple[float, float]:
        """Return the relative loss and its weight."""
        beyond, spread, count = self.sums.tolist()
        # Identical labels carry no information: weight 0.
        return (beyond / spread, spread / count) if spread > 0 else (0.0, 0.0)


def _sum_over_processes(values: Tensor) -> Tensor:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        values = values.clone()
        torch.distributed.all_reduce(values)
    return values
