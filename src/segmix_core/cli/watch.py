"""Show a run as lines and a progress bar."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from segmix_core import events
from segmix_core.cli.console import Console
from segmix_core.cli.typed import typed
from segmix_core.runs.child import (
    EXIT_CANCELED,
    EXIT_COMPLETED,
    EXIT_ERROR,
    EXIT_UNEXPECTED,
)
from segmix_core.runs.folder import RunFolder
from segmix_core.runs.follow import follow
from segmix_core.runs.launch import kill
from segmix_core.runs.status import RunState

_LOG_LINES = 20
_LINE_SECONDS = 10.0
_NAMED = 5
# All columns have to fit into 80 characters.
_BAR_WIDTH = 16
_SHOWN_VALUES = {"loss": "loss", "patch_size": "patch", "shuffle_ratio": "ratio"}


def watch(folder: RunFolder, console: Console) -> int:
    """Show a run until it ends; return its exit code.

    0 completed, 1 unexpected failure, 2 an error the user can solve, 3 canceled.
    """
    with _progress(console) as progress:
        screen = _Screen(console, progress, folder.request().stage)
        for batch in follow(folder, offset=folder.status().events_from):
            for event in batch:
                screen.show(event)
    return report(folder, console)


def report(folder: RunFolder, console: Console) -> int:
    """Print how a run ended; return its exit code."""
    state, ended, request = folder.state(), folder.ended(), folder.request()
    again = typed("segmix", request.stage, request.project, "--resume", folder.name)
    facts: dict[str, Any] = {
        "run": str(folder.path),
        "stage": request.stage,
        "state": str(state),
        "results": ended.results if ended else {},
    }
    if state is RunState.COMPLETED:
        for name, value in facts["results"].items():
            if isinstance(value, dict):
                # Already reported by events.
                continue
            shown = _where(value) if isinstance(value, list) else value
            console.say(f"{name}: {shown}")
        console.say(f"Completed: {folder.path}", "green")
        return _left_out(facts, console)
    if state is RunState.CANCELED:
        console.say(f"Stopped. Resume with: {again}", "yellow")
        console.result({**facts, "message": ended.message if ended else ""})
        return EXIT_CANCELED
    if state is RunState.FAILED and ended:
        console.failed(ended.message, ended.hint, **facts)
        return EXIT_ERROR if ended.hint else EXIT_UNEXPECTED
    console.say(folder.log_tail(_LOG_LINES), "dim")
    console.failed(
        "The process crashed; its last log lines are above.",
        f"Resume with: {again}",
        **facts,
    )
    return EXIT_UNEXPECTED


def _where(files: list[Any]) -> str:
    """Return the file, or the number of files and their folder."""
    if len(files) == 1:
        return str(files[0])
    folders = {str(Path(str(file)).parent) for file in files}
    return " ".join([str(len(files)), *(f"in {folder}" for folder in sorted(folders))])


def _left_out(facts: dict[str, Any], console: Console) -> int:
    failed = facts["results"].get("failed")
    if not isinstance(failed, dict) or not failed:
        console.result({**facts, "message": ""})
        return EXIT_COMPLETED
    named = [f"{Path(path).name} ({why})" for path, why in failed.items()]
    rest = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    count = "1 image" if len(named) == 1 else f"{len(named)} images"
    message = f"{count} failed: {', '.join(named[:_NAMED])}{rest}."
    console.failed(f"{message} All other images were written.", **facts)
    return EXIT_ERROR


@contextmanager
def stopping(folder: RunFolder, console: Console) -> Iterator[None]:
    """Let Ctrl-C ask the run to stop, and a second Ctrl-C kill it."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        if folder.stop_path.exists():
            console.warn("Killing the run.")
            kill(folder)
        else:
            console.warn("Stopping after this step; press Ctrl-C again to kill.")
            folder.request_stop()

    # Python delivers signals to the main thread only.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


class _Screen:
    """Shows events as a bar and lines."""

    def __init__(self, console: Console, progress: Progress, stage: str) -> None:
        self._console = console
        self._progress = progress
        self._task: TaskID = progress.add_task(
            stage, total=None, steps="", left="", facts=""
        )
        self._facts = ""
        self._told = 0.0
        self._show: dict[type[events.Event], Callable[[Any], None]] = {
            events.StageStarted: self._started,
            events.Progress: self._moved,
            events.Metrics: self._measured,
            events.CurriculumDecided: self._decided,
            events.SettingFitted: lambda event: console.say(event.message),
            events.Warned: lambda event: console.warn(event.message),
        }

    def show(self, event: events.Event) -> None:
        """Show one event, unless it is of no interest to users."""
        if handler := self._show.get(type(event)):
            handler(event)

    def _started(self, event: events.StageStarted) -> None:
        where = f" on {event.device}" if event.device else ""
        since = f", from step {event.resumed_at}" if event.resumed_at else ""
        self._console.say(f"{event.stage}: {event.total_steps} steps{where}{since}")
        self._update(event.resumed_at, event.total_steps)

    def _moved(self, event: events.Progress) -> None:
        left, facts = time_left(event.seconds_left), self._facts
        # What was measured before is no news of what is done now: between the networks
        # of SegMix+ nothing is measured, and the message says what is going on.
        self._facts = ""
        self._update(event.step, event.total, left=left)
        self._progress.update(self._task, facts=facts or event.message)
        # Without a terminal, print a line now and then instead of the bar.
        if self._console.out.is_terminal or event.time - self._told < _LINE_SECONDS:
            return
        self._told = event.time
        parts = (f"step {event.step}/{event.total}", event.message, left, facts)
        self._console.say(", ".join(part for part in parts if part))

    def _measured(self, event: events.Metrics) -> None:
        parts = [
            f"{short} {event.values[name]:.4g}"
            for name, short in _SHOWN_VALUES.items()
            if name in event.values
        ]
        self._facts = "  ".join(parts)
        self._progress.update(self._task, facts=self._facts)

    def _update(self, step: int, total: int, left: str = "") -> None:
        steps = f"{step}/{total}" if total else ""
        self._progress.update(
            self._task, total=total or None, completed=step, steps=steps, left=left
        )

    def _decided(self, event: events.CurriculumDecided) -> None:
        self._console.say(
            f"step {event.step}: patch size {event.patch_size} px, "
            f"shuffle ratio {event.shuffle_ratio:.2f} ({event.reason})",
            "dim",
        )


def time_left(seconds: float | None) -> str:
    """Format a remaining time: "2 h 05 min left", "3 min left"."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{round(seconds)} s left"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min left" if hours else f"{minutes} min left"


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(_BAR_WIDTH),
        TextColumn("{task.fields[steps]}"),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[facts]}"),
        console=console.out,
    )
