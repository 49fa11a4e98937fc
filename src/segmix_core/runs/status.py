"""Whether a run is alive: the content of ``status.json`` in its folder."""

import time
from dataclasses import asdict, dataclass
from enum import StrEnum, unique
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from segmix_core.process_mark import ProcessMark

SILENT_SECONDS = 30.0
"""Age of the heartbeat after which a run on another machine counts as dead."""

Count = Annotated[int, Field(ge=0, lt=2**53)]
Moment = Annotated[float, Field(ge=0, le=2.5e11, allow_inf_nan=False)]
"""Seconds since the epoch, until the year 9892: what Python's dates can hold."""


@unique
class RunState(StrEnum):
    """What has become of a run.

    ::

        CREATED -> RUNNING -> COMPLETED | CANCELLED | FAILED | INTERRUPTED
                      ^------------- resumed ------------------------|

    DAMAGED is a folder in which no run can be read.
    """

    CREATED = "created"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """The last word of a run's process.

    ``process`` is None from the launch until the process has written a status itself;
    ``launched`` is who launches it, then what was launched: the process, or a program
    that starts it.
    ``folder`` is where the process works: in a copy of a run folder nobody does.
    ``events_from`` is the byte of ``events.jsonl`` where this life of the run begins: a
    resumed run has events of former lives before it.
    """

    state: RunState = RunState.CREATED
    process: ProcessMark | None = None
    launched: ProcessMark | None = None
    folder: str = ""
    heartbeat: Moment = 0.0
    events_from: Count = 0
    step: Count = 0
    total: Count = 0
    seconds_left: Moment | None = None
    message: str = ""
    checkpoint_step: Count = 0

    @property
    def pid(self) -> int | None:
        """Number of the process, None until it has written a status itself."""
        return None if self.process is None else self.process.pid


_STATUS = TypeAdapter(RunStatus)


def status_to_json(status: RunStatus) -> dict[str, Any]:
    """Return the JSON content of a status."""
    return asdict(status)


def status_from_json(content: Any) -> RunStatus:
    """Read a status; fields of other versions are skipped.

    Content that is no status counts as one of a process that was never heard of
    again, so that the events decide what has become of the run.
    """
    if not isinstance(content, dict) or "state" not in content:
        return RunStatus(state=RunState.RUNNING)
    try:
        return _STATUS.validate_python(content)
    except ValidationError:
        return RunStatus(state=RunState.RUNNING)


def is_alive(status: RunStatus) -> bool:
    """Whether the process that wrote ``status`` still runs.

    On this machine the process is looked up, whatever the clock says; on another one
    (a project on a network drive) the heartbeat must be of the last half minute.
    """
    known = status.process or status.launched
    if known is None:
        return False
    alive = known.is_alive()
    if alive is None:
        # A heartbeat of the future is none: it would never grow old.
        return abs(time.time() - status.heartbeat) < SILENT_SECONDS
    return alive
