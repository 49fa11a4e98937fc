"""Runs as values: one to be launched, one to be shown, and the report about it."""

import json
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from segmix_core.errors import JobError
from segmix_core.events import Progress
from segmix_core.runs import DamagedRun, RunFolder, RunRequest, RunState
from segmix_core.settings import RunSettings
from segmix_core.stage_registry import STAGES

_RESUMABLE = (RunState.INTERRUPTED, RunState.CANCELED, RunState.FAILED)


@dataclass(frozen=True, slots=True)
class Job:
    """A run to be launched; inputs that are not given are the newest ones."""

    stage: str
    config: RunSettings
    inputs: dict[str, Path] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run of the project's list; a damaged one has no stage.

    ``seconds_left`` is None until known; ``request`` is None for a damaged one.
    """

    path: Path
    stage: str
    state: RunState
    created: float
    step: int
    total: int
    seconds_left: float | None
    message: str
    config: dict[str, Any]
    results: dict[str, Any]
    request: RunRequest | None = None

    @property
    def is_running(self) -> bool:
        """Whether its process is at work."""
        return self.state is RunState.RUNNING

    @property
    def is_damaged(self) -> bool:
        """Whether its folder cannot be read; ``message`` says why."""
        return self.state is RunState.DAMAGED

    @property
    def can_resume(self) -> bool:
        """Whether it can be launched again to go on."""
        return self.state in _RESUMABLE

    def at(self, news: Progress | None) -> "RunInfo":
        """Return the run as far as its last event says, if it is at work.

        Events come at once, the status a second later.
        """
        if news is None or not self.is_running:
            return self
        return replace(
            self,
            step=news.step,
            total=news.total,
            seconds_left=news.seconds_left,
            message=news.message,
        )


def describe_run(folder: RunFolder) -> RunInfo:
    """Return what the folder says about its run, or that it is damaged."""
    try:
        request = folder.request()
    except JobError as error:
        return _damaged(folder.path, error.reason)
    status, ended = folder.status(), folder.ended()
    return RunInfo(
        path=folder.path,
        stage=request.stage,
        state=folder.state(),
        created=request.created,
        step=status.step,
        total=status.total,
        seconds_left=status.seconds_left,
        message=ended.text if ended is not None else status.message,
        config=request.config,
        results=ended.results if ended is not None else {},
        request=request,
    )


def describe_damaged(run: DamagedRun) -> RunInfo:
    """Return a folder in which no run can be read as one of the list."""
    return _damaged(run.path, run.reason)


def _damaged(path: Path, reason: str) -> RunInfo:
    return RunInfo(
        path=path,
        stage="",
        state=RunState.DAMAGED,
        created=0.0,
        step=0,
        total=0,
        seconds_left=None,
        message=f"This run is damaged: {reason}.",
        config={},
        results={},
    )


def log_tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of the log of the run at ``path``."""
    return RunFolder(path).log_tail(lines)


def run_report(path: Path, lines: int = 40) -> str:
    """Return a text for a bug report: versions, settings, how it ended, last lines."""
    folder = RunFolder(path)
    request, ended = folder.request(), folder.ended()
    state = folder.state()
    parts = [
        f"SegMix {version('napari-segmix')}, napari {version('napari')}",
        f"Run: {folder.name} ({state})",
        f"Message: {ended.text if ended else 'none, the process crashed'}",
        "Settings:",
        json.dumps(request.config, indent=1),
        f"Last lines of {folder.log_path.name}:",
        folder.log_tail(lines) or "(empty)",
    ]
    return "\n".join(parts) + "\n"


def stage_title(stage: str) -> str:
    """Return what a stage does, in words."""
    return STAGES[stage].title if stage in STAGES else stage
