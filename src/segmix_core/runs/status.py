"""Whether a run is alive: the content of ``status.json`` in its folder."""

import platform
import time
from dataclasses import asdict, dataclass, fields
from enum import StrEnum, unique
from typing import Any

import psutil

START_SECONDS = 30.0
"""How long a launched process may take until it writes its first status."""
SILENT_SECONDS = 30.0
"""Age of the heartbeat after which a run on another machine counts as dead."""
_SAME_PROCESS_SECONDS = 2.0
_FRESH_SECONDS = 5.0


@unique
class RunState(StrEnum):
    """What has become of a run.

    ::

        CREATED -> RUNNING -> COMPLETED | CANCELLED | FAILED | INTERRUPTED
                      ^------------- resumed ------------------------|
    """

    CREATED = "created"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """The last word of a run's process.

    ``pid`` is None from the launch until the process has written a status itself.
    ``process_started`` (seconds since the epoch) tells the process from a later one
    with the same pid. ``events_from`` is the byte of ``events.jsonl`` where this life
    of the run begins: a resumed run has events of former lives before it.
    """

    state: RunState = RunState.CREATED
    pid: int | None = None
    host: str = ""
    process_started: float = 0.0
    heartbeat: float = 0.0
    events_from: int = 0
    step: int = 0
    total: int = 0
    seconds_left: float | None = None
    message: str = ""
    checkpoint_step: int = 0


def status_to_json(status: RunStatus) -> dict[str, Any]:
    """Return the JSON content of a status."""
    return asdict(status)


def status_from_json(content: Any) -> RunStatus:
    """Read a status; fields of other versions are skipped.

    Content that is no status counts as one of a process that was never heard of
    again, so that the events decide what has become of the run.
    """
    known = {entry.name for entry in fields(RunStatus)}
    try:
        values = {name: v for name, v in content.items() if name in known}
        values["state"] = RunState(values["state"])
        return RunStatus(**values)
    except (AttributeError, KeyError, TypeError, ValueError):
        return RunStatus(state=RunState.RUNNING)


def is_alive(status: RunStatus) -> bool:
    """Whether the process that wrote ``status`` still runs.

    On this machine the process is looked up by pid and start time; on another one
    (a project on a network drive) the heartbeat's age decides.
    """
    age = time.time() - status.heartbeat
    if status.pid is None:
        return age < START_SECONDS
    if status.host != platform.node():
        return age < SILENT_SECONDS
    try:
        process = psutil.Process(status.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        shift = abs(process.create_time() - status.process_started)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return age < SILENT_SECONDS
    # A corrected clock shifts start times; a fresh heartbeat is proof enough then.
    return bool(shift < _SAME_PROCESS_SECONDS) or age < _FRESH_SECONDS
