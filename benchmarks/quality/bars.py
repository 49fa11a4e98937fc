"""Progress of the trainings of a benchmark."""

from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from segmix_core import events
from segmix_core.cli.console import Console
from segmix_core.cli.watch import time_left


class Bars:
    """A bar for each training."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[left]}"),
            console=console.out,
        )
        self._console = console

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def begin(self, title: str) -> "Bar":
        """Start the bar of a training."""
        task = self._progress.add_task(title, total=None, left="")
        return Bar(self._progress, task, self._console)


class Bar:
    """Listens to a training and shows its progress."""

    def __init__(self, progress: Progress, task: TaskID, console: Console) -> None:
        self._progress = progress
        self._task = task
        self._console = console

    def emit(self, event: events.Event) -> None:
        """Show what matters of an event."""
        match event:
            case events.StageStarted():
                self._progress.update(self._task, total=event.total_steps, completed=0)
            case events.Progress():
                self._progress.update(
                    self._task,
                    completed=event.step,
                    left=time_left(event.seconds_left),
                )
            case events.Warned():
                self._console.warn(event.message)

    def should_stop(self) -> bool:
        """Never: Ctrl-C ends the program, and what is done has been written."""
        return False

    def save_preview(
        self, step: int, content: str, **arrays: npt.NDArray[np.generic]
    ) -> None:
        """Show nothing."""
