"""Progress of a training for the program that started it."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmix_core.events import Event, Metrics, StageStarted, Warned


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """Progress of a training, as passed to its ``progress`` function.

    Attributes
    ----------
    step, total_steps
        Steps done, and planned.
    epoch
        From 0.
    values
        Losses by name, learning rate; shuffle level (``patch_size``,
        ``shuffle_ratio``) where there is one; ``val_loss`` at the end of an epoch, if
        it is measured.

    Examples
    --------
    >>> seen = []
    >>> batch = np.zeros((2, 3, 32, 32), np.float32), np.array([[1, 0], [0, 1]])
    >>> model = sx.train(
    ...     [batch],
    ...     classes=["gland", "stroma"],
    ...     method=sx.Cam(epochs=1, width=8),
    ...     progress=seen.append,
    ... )
    >>> seen[-1].step, seen[-1].total_steps, seen[-1].epoch
    (1, 1, 0)
    """

    step: int
    total_steps: int
    epoch: int
    values: Mapping[str, float]

    @property
    def loss(self) -> float | None:
        """Loss of the step, or mean loss of the epoch that has ended."""
        return self.values.get("loss", self.values.get("epoch_loss"))


ProgressCallback = Callable[[TrainingProgress], bool | None]
"""Told about ten times a second at most; False ends the training after this step."""


class Follower:
    """Turns the news of a training into calls and Python warnings.

    Parameters
    ----------
    progress
        See :data:`ProgressCallback`; None: no callback.
    """

    def __init__(self, progress: ProgressCallback | None) -> None:
        self._progress = progress
        self._total = 0
        self._stops = False

    def emit(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case StageStarted():
                self._total = event.total_steps
            case Warned():
                warnings.warn(event.message, UserWarning, stacklevel=2)
            case Metrics() if self._progress is not None:
                state = TrainingProgress(
                    event.step, self._total, event.epoch, event.values
                )
                answer = self._progress(state)
                # A comparison of arrays gives NumPy's False.
                self._stops |= isinstance(answer, (bool, np.bool_)) and not answer

    def should_stop(self) -> bool:
        """Say whether the function has asked for the end."""
        return self._stops

    def save_preview(
        self, step: int, content: str, **arrays: npt.NDArray[np.generic]
    ) -> None:
        """Do nothing: previews are for the viewer."""
