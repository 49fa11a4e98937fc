"""Whether a run is alive: the content of ``status.json`` in its folder."""

import time
from dataclasses import asdict, dataclass
from enum import StrEnum, unique
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from segmix_core.process_mark import ProcessMark

SILENT_SECONDS = 30.0
"""A run on another machine counts as crashed if its heartbeat is older than this."""

Count = Annotated[int, Field(ge=0, lt=2**53)]
Moment = Annotated[float, Field(ge=0, le=2.5e11, allow_inf_nan=False)]
"""Seconds since the epoch, up to the year 9892, the limit of Python's dates."""


@unique
class RunState(StrEnum):
    """The state of a run.

    ::

        CREATED -> RUNNING -> COMPLETED | CANCELED | FAILED | INTERRUPTED
                      ^------------- resumed ------------------------|

    DAMAGED is a folder that cannot be read as a run.
    """

    CREATED = "created"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELED = "canceled"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """The last status written by the process of a run.

    ``process`` is None until the process has written a status itself. ``launched`` is
    first the launching process, then the launched one, which may be a program that
    starts the run. ``folder`` is the folder that the process uses; it differs in a copy
    of a run folder. ``events_from`` is the byte of ``events.jsonl`` where the events
    since the last start or resume begin.
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

    Invalid content counts as the status of a process that died, so that the events
    determine the state of the run.
    """
    if not isinstance(content, dict) or "state" not in content:
        return RunStatus(state=RunState.RUNNING)
    try:
        return _STATUS.validate_python(content)
    except ValidationError:
        return RunStatus(state=RunState.RUNNING)


def is_alive(status: RunStatus) -> bool:
    """Whether the process that wrote ``status`` still runs.

    Looks up processes of this machine. For another machine (a project on a network
    drive), the heartbeat must be less than half a minute old.
    """
    known = status.process or status.launched
    if known is None:
        return False
    alive = known.is_alive()
    if alive is None:
        # A heartbeat in the future does not count, since it would never expire.
        return abs(time.time() - status.heartbeat) < SILENT_SECONDS
    return alive
