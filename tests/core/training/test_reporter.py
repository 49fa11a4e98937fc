from typing import Any

import pytest
import torch

from segmix_core.events import Event, Metrics, Progress
from segmix_core.training.reporter import Reporter
from segmix_core.training.stepper import StepOutcome


class Listener:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def should_stop(self) -> bool:
        return False

    def save_preview(self, step: int, content: str, **arrays: object) -> None:
        raise AssertionError("no previews here")

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def outcome(loss: float) -> StepOutcome:
    return StepOutcome(loss, 1.0, {"part": torch.tensor(loss)}, (), {})


def run_steps(seconds_a_step: float, first: int, total: int) -> Listener:
    listener, clock = Listener(), Clock()
    reporter = Reporter(listener, first, total, clock=clock)
    for step in range(first, total):
        clock.seconds += seconds_a_step
        reporter.stepped(step, 0, outcome(float(step)), 0.1)
    return listener


def test_fast_steps_are_reported_a_few_times_a_second() -> None:
    listener = run_steps(0.001, 0, 2000)
    assert len(listener.of(Metrics)) <= 21
    assert len(listener.of(Progress)) <= 9
    assert listener.of(Metrics)[-1].step == listener.of(Progress)[-1].step == 2000


def test_slow_steps_are_all_reported() -> None:
    listener = run_steps(1.0, 0, 10)
    assert [m.values["part"] for m in listener.of(Metrics)] == list(range(10))
    assert len(listener.of(Progress)) == 10


def test_time_left_counts_only_steps_done_here() -> None:
    progress = run_steps(2.0, 90, 100).of(Progress)
    assert progress[0].seconds_left is None
    assert progress[1].seconds_left == pytest.approx(2.0 * 8)
    assert progress[-1].seconds_left == pytest.approx(0)


def test_epoch_loss_is_the_mean_since_the_last_epoch() -> None:
    listener = Listener()
    reporter = Reporter(listener, 0, 10, clock=Clock())
    for loss in (1.0, 3.0):
        reporter.stepped(0, 0, outcome(loss), 0.1)
    reporter.epoch_ended(2, 0, {"score": 0.5})
    reporter.stepped(2, 1, outcome(7.0), 0.1)
    reporter.epoch_ended(3, 1, {})
    reporter.epoch_ended(3, 1, {})
    values = [m.values for m in listener.of(Metrics) if "loss" not in m.values]
    assert values == [{"val_score": 0.5, "epoch_loss": 2.0}, {"epoch_loss": 7.0}, {}]
