"""Report training progress at a limited rate."""

import time
from collections.abc import Callable, Mapping

import numpy as np
from torch import Tensor

from segmix_core.events import Metrics, Progress
from segmix_core.training.stepper import StepOutcome
from segmix_core.training.task import Listener, PreviewArrays

_PROGRESS_SECONDS = 0.25
_METRICS_SECONDS = 0.1
FIRST_MAPS_STEP = 20
"""The first maps come early, to show that the run works."""
_PREVIEW_STEPS = (0, FIRST_MAPS_STEP)


class Reporter:
    """Reports steps to a listener.

    Parameters
    ----------
    listener
        Gets the events.
    first_step, total_steps
        First step of this process, and total steps of the run.
    preview_seconds
        Minimum time between previews; the first two are at steps 0 and 20.
    clock
        Monotonic clock in seconds.
    """

    def __init__(
        self,
        listener: Listener,
        first_step: int,
        total_steps: int,
        *,
        preview_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listener = listener
        self._first_step = first_step
        self._total_steps = total_steps
        self._preview_seconds = preview_seconds
        self._clock = clock
        self._begun = clock()
        self._last_progress = self._last_metrics = -np.inf
        self._last_preview = -np.inf
        self._losses: list[float] = []

    def wants_preview(self, step: int) -> bool:
        """Return whether a preview of this step is due."""
        waited = self._clock() - self._last_preview >= self._preview_seconds
        return step in _PREVIEW_STEPS or waited

    def save_previews(self, step: int, previews: Mapping[str, PreviewArrays]) -> None:
        """Pass previews to the listener."""
        for content, arrays in previews.items():
            self._listener.save_preview(step, content, **arrays)

    def stepped(
        self, step: int, epoch: int, outcome: StepOutcome, learning_rate: float
    ) -> None:
        """Report a finished step."""
        for event in outcome.events:
            self._listener.emit(event)
        if outcome.previews:
            # Ignore previews of epoch ends, or short epochs would have no others.
            self.save_previews(step, outcome.previews)
            self._last_preview = self._clock()
        self._losses.append(outcome.loss)
        done, now = step + 1, self._clock()
        last = done == self._total_steps
        if last or now - self._last_metrics >= _METRICS_SECONDS:
            self._last_metrics = now
            values = {
                "loss": outcome.loss,
                "learning_rate": learning_rate,
                "grad_norm": outcome.grad_norm,
                **{name: _number(value) for name, value in outcome.parts.items()},
            }
            self._listener.emit(Metrics(step=done, epoch=epoch, values=values))
        if last or now - self._last_progress >= _PROGRESS_SECONDS:
            self._last_progress = now
            self._listener.emit(self._progress(done, epoch, now))

    def epoch_ended(self, step: int, epoch: int, scores: Mapping[str, float]) -> None:
        """Report a finished epoch: its mean loss, and scores if measured."""
        values = {f"val_{name}": float(value) for name, value in scores.items()}
        if self._losses:
            values["epoch_loss"] = float(np.mean(self._losses))
        self._losses.clear()
        self._listener.emit(Metrics(step=step, epoch=epoch, values=values))

    def _progress(self, done: int, epoch: int, now: float) -> Progress:
        steps = done - self._first_step
        left = None
        # The first step warms up caches, so it is not representative.
        if steps > 1:
            left = (now - self._begun) / steps * (self._total_steps - done)
        return Progress(
            step=done,
            total=self._total_steps,
            seconds_left=left,
            message=f"epoch {epoch + 1}",
        )


def _number(value: float | Tensor) -> float:
    return float(value.item()) if isinstance(value, Tensor) else float(value)
