"""Runs as values: one to be launched, one to be shown, and the report about it."""

import json
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmix_core.config import RunConfig
from segmix_core.runs import RunFolder, RunState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segmix_core.project.records import Change

_LABEL_KINDS = frozenset({"labels", "source", "split"})
_MASK_KINDS = _LABEL_KINDS | {"mask"}
_OUTDATED_BY = {
    "train": _LABEL_KINDS,
    "cams": _LABEL_KINDS,
    "pseudo-masks": _LABEL_KINDS,
    "train-segmenter": _MASK_KINDS,
}
_RESUMABLE = (RunState.INTERRUPTED, RunState.CANCELLED, RunState.FAILED)


@dataclass(frozen=True, slots=True)
class Job:
    """A run to be launched; inputs that are not given are the newest ones."""

    stage: str
    config: RunConfig
    inputs: dict[str, Path] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run of the project's list.

    ``seconds_left`` is None until known; ``is_outdated`` says that labels (or, for
    the segmenter, corrections) have changed since the run was started.
    """

    path: Path
    stage: str
    state: RunState
    created: float
    step: int
    total: int
    seconds_left: float | None
    message: str
    revision: int
    config: dict[str, Any]
    results: dict[str, Any]
    is_outdated: bool = False

    @property
    def is_running(self) -> bool:
        """Whether its process is at work."""
        return self.state is RunState.RUNNING

    @property
    def can_resume(self) -> bool:
        """Whether it can be launched again to go on."""
        return self.state in _RESUMABLE


def describe_run(folder: RunFolder) -> RunInfo:
    """Return what the folder says about its run.

    Raises
    ------
    JobError
        If the folder is not that of a run.
    """
    request, status, ended = folder.request(), folder.status(), folder.ended()
    return RunInfo(
        path=folder.path,
        stage=request.stage,
        state=folder.state(),
        created=request.created,
        step=status.step,
        total=status.total,
        seconds_left=status.seconds_left,
        message=ended.message if ended is not None else status.message,
        revision=request.revision,
        config=request.config,
        results=ended.results if ended is not None else {},
    )


def is_outdated(info: RunInfo, changes: "Iterable[Change]") -> bool:
    """Whether one of the changes came after the run started and matters to it."""
    kinds = _OUTDATED_BY.get(info.stage, frozenset())
    return any(c.kind in kinds for c in changes if c.id > info.revision)


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
        f"Message: {ended.message if ended else 'none, it ended without a word'}",
        "Settings:",
        json.dumps(request.config, indent=1),
        f"Last lines of {folder.log_path.name}:",
        folder.log_tail(lines) or "(empty)",
    ]
    return "\n".join(parts) + "\n"
