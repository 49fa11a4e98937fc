"""What the curriculum hears of a step: the relative loss of its shuffled tiles."""

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
    """Between the steps of a run and its curriculum.

    Parameters
    ----------
    controller
        Told the relative loss once a step: the loss beyond what soft labels cost
        anyway, divided by what answering the class frequencies would cost beyond it.
    num_classes
        C.
    """

    def __init__(self, controller: CurriculumController, num_classes: int) -> None:
        self.controller = controller
        self._heard: _Heard | None = None
        # (2, C): tiles seen with each class, and with each class known.
        self._seen = torch.zeros(2, num_classes)

    @property
    def level(self) -> ShuffleLevel:
        """Level of the step."""
        return self.controller.level

    def decide(self, step: int) -> tuple[CurriculumDecided, ...]:
        """Tell the controller what was heard in the step before ``step``.

        Once a step: where memory is short a step is several calls, which must all use
        one level, and whose mean counts.
        """
        heard = self._heard
        if heard is None or heard.step == step:
            return ()
        self._heard = None
        loss, weight = heard.mean()
        decided = self.controller.observe(loss, weight=weight)
        return () if decided is None else (decided,)

    def hear(self, loss: Tensor, labels: Tensor, mixed: Tensor, step: int) -> None:
        """Take note of a batch, of all processes that share it.

        Otherwise the processes of a distributed run would go different ways through
        the curriculum, and one could not go on from what another has stored.

        Parameters
        ----------
        loss
            Scalar: the classification loss of the shuffled tiles, without gradient.
        labels, mixed
            (B, C): before and after the shuffle; -1 unknown.
        step
            That the batch belongs to.
        """
        seen = torch.stack([(labels > 0).sum(dim=0), (labels >= 0).sum(dim=0)])
        self._seen = self._seen.to(loss) + _sum_over_processes(seen)
        # Of one tile more, half with the class: never 0 or 1.
        frequency = (self._seen[0] + 0.5) / (self._seen[1] + 1)
        beyond = loss - label_entropy(mixed)
        sums = torch.stack([beyond, label_spread(mixed, frequency), loss.new_ones(())])
        sums = _sum_over_processes(len(labels) * sums)
        if self._heard is not None:
            sums = sums + self._heard.sums.to(sums)
        self._heard = _Heard(step, sums)

    def curves(self) -> dict[str, float]:
        """Return the level, the feedback and the threshold, where known, by name."""
        state = self.controller.state
        values = {
            "patch_size": float(state.level.patch_size),
            "shuffle_ratio": state.level.shuffle_ratio,
            "feedback": state.feedback,
            "threshold": state.threshold,
        }
        return {name: value for name, value in values.items() if value is not None}

    def state(self) -> dict[str, Any]:
        """Return everything that changes, as JSON values."""
        heard = self._heard
        return {
            "curriculum": self.controller.state_dict(),
            "seen": self._seen.tolist(),
            "heard": heard and {"step": heard.step, "sums": heard.sums.tolist()},
        }

    def load_state(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Go on from :meth:`state`.

        Parameters
        ----------
        state
            As JSON values.
        device
            Of the losses to come: processes exchange sums only where they compute.

        Raises
        ------
        ValueError
            If it is of a run with other patch sizes.
        """
        self.controller.load_state_dict(state["curriculum"])
        self._seen = torch.tensor(state["seen"], device=device)
        heard = state["heard"]
        self._heard = None
        if heard is not None:
            sums = torch.tensor(heard["sums"], device=device)
            self._heard = _Heard(heard["step"], sums)


@dataclass(frozen=True, slots=True)
class _Heard:
    """What the shuffled tiles of a step said.

    ``sums`` holds three sums over tiles: the loss beyond what soft labels cost anyway,
    the spread of the labels, and one. It stays on the device until the next step, so
    that no step waits for it.
    """

    step: int
    sums: Tensor

    def mean(self) -> tuple[float, float]:
        """Return the relative loss and its weight."""
        beyond, spread, count = self.sums.tolist()
        # Labels that are all alike teach nothing: a loss of weight 0.
        return (beyond / spread, spread / count) if spread > 0 else (0.0, 0.0)


def _sum_over_processes(values: Tensor) -> Tensor:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        values = values.clone()
        torch.distributed.all_reduce(values)
    return values
