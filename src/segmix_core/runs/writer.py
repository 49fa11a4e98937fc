"""Write events, progress, heartbeat and previews of a running stage."""

import threading
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

from segmix_core.disk_errors import run_error
from segmix_core.errors import JobError
from segmix_core.events import (
    CheckpointWritten,
    EndReason,
    Event,
    PreviewWritten,
    Progress,
    StageEnded,
    StageStarted,
)
from segmix_core.files import printable, write_json
from segmix_core.process_mark import mark_process
from segmix_core.runs.event_log import EventAppender
from segmix_core.runs.folder import RunFolder
from segmix_core.runs.lock import locked
from segmix_core.runs.previews import save_preview
from segmix_core.runs.status import RunState, RunStatus, status_to_json

HEARTBEAT_SECONDS = 1.0
_PROGRESS_SECONDS = 0.1
_RESERVE_BYTES = 1 << 16
_PACE_SECONDS = 60.0
_FIRST_PACE_SECONDS = 1.0


class RunWriter:
    """Writes to a run folder from the process of the run.

    Use it as a context manager: entering writes the first status and starts the
    heartbeat, leaving stops it. Safe to use from several threads.

    Parameters
    ----------
    folder
        The run.
    silent
        Write nothing and only check for a stop; for the workers of a run in several
        processes.

    Raises
    ------
    JobError
        On entering, if another process is using the folder; from every method that
        writes, if the folder cannot be written.
    """

    def __init__(self, folder: RunFolder, *, silent: bool = False) -> None:
        self.folder = folder
        self.stopped = False
        self._silent = silent
        self._asked = False
        self._pace = Pace()
        self._last_progress = (-_PROGRESS_SECONDS, "")
        self._lock = threading.RLock()
        self._done = threading.Event()
        self._status = RunStatus()
        self._place = ExitStack()
        self._reserve = folder.path / ".reserve"

    def __enter__(self) -> Self:
        if self._silent:
            return self
        former = self.folder.status()
        other = former.process
        if other is not None and _is_at_work(self.folder, former):
            raise JobError(
                f"Process {other.pid} on {printable(other.host)} is already running "
                f"in {self.folder.path}.",
                "Stop it first, or start a new run.",
            )
        try:
            self._place.enter_context(locked(self.folder.path))
        except OSError as error:
            raise run_error(self.folder.path, error) from error
        try:
            self._begin()
        except BaseException:
            self._place.close()
            raise
        self._thread = threading.Thread(
            target=self._beat, name="segmix-heartbeat", daemon=True
        )
        self._thread.start()
        return self

    def _begin(self) -> None:
        former = self.folder.status()
        self._events = EventAppender(self.folder.events_path)
        self._status = RunStatus(
            state=RunState.RUNNING,
            process=mark_process(),
            folder=str(self.folder.path.absolute()),
            heartbeat=time.time(),
            events_from=self._events.start,
            step=former.checkpoint_step,
            checkpoint_step=former.checkpoint_step,
        )
        try:
            self._write_status()
            self._reserve.write_bytes(bytes(_RESERVE_BYTES))
        except OSError as error:
            self._events.close()
            raise run_error(self.folder.path, error) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._silent:
            return
        self._done.set()
        self._thread.join()
        self._events.close()
        self._reserve.unlink(missing_ok=True)
        self._place.close()

    def emit(self, event: Event) -> None:
        """Append an event; readers see it immediately."""
        if self._silent:
            return
        with self._lock:
            self._status = _updated(self._status, event)
            self._events.append(event)

    def progress(self, step: int, total: int, message: str = "") -> None:
        """Report that ``step`` of ``total`` steps are done.

        May be called for every step: writes at most ten events a second, plus the last
        step and every new message.
        """
        now = time.monotonic()
        left = self._pace.seconds_left(step, total, now)
        last, said = self._last_progress
        if now - last < _PROGRESS_SECONDS and step < total and message == said:
            return
        self._last_progress = (now, message)
        self.emit(Progress(step=step, total=total, seconds_left=left, message=message))

    def save_preview(self, step: int, content: str, **arrays: npt.ArrayLike) -> None:
        """Store a preview for the viewer and report it.

        ``content`` and ``arrays`` are described in :mod:`segmix_core.runs.previews`.
        """
        if self._silent:
            return
        try:
            path = save_preview(self.folder.previews_path, step, content, arrays)
        except OSError as error:
            raise run_error(self.folder.path, error) from error
        name = path.relative_to(self.folder.path).as_posix()
        self.emit(PreviewWritten(step=step, content=content, path=name))

    def should_stop(self) -> bool:
        """Whether the run was asked to stop; stored in ``stopped``."""
        if not self.stopped:
            self.stopped = self._asked or self.folder.stop_path.exists()
        return self.stopped

    def ask_to_stop(self) -> None:
        """Make :meth:`should_stop` return True; safe in a signal handler."""
        self._asked = True

    def end(
        self,
        reason: EndReason,
        message: str = "",
        results: dict[str, Any] | None = None,
    ) -> None:
        """Write the last event and the final status."""
        if self._silent:
            return
        ended = StageEnded(reason=reason, message=message, results=results or {})
        self._done.set()
        # On a full disk this makes room for the last event.
        self._reserve.unlink(missing_ok=True)
        self.emit(ended)
        try:
            self._write_status()
        except OSError as error:
            raise run_error(self.folder.path, error) from error

    def _beat(self) -> None:
        while not self._done.wait(HEARTBEAT_SECONDS):
            try:
                self._write_status()
            except OSError:
                # On a full disk, writing events raises; the next heartbeat tries again.
                continue

    def _write_status(self) -> None:
        with self._lock:
            self._status = replace(self._status, heartbeat=time.time())
            write_status(self.folder, self._status)


class Pace:
    """Estimates the time left from the steps of the last minute."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()
        self._total = 0

    def seconds_left(self, step: int, total: int, now: float) -> float | None:
        """Return the seconds until ``total``, or None before a second has passed.

        ``now`` is in seconds of any steady clock. A new total or a smaller
        step means that other work begins, and the estimate restarts.
        """
        if total != self._total or (self._marks and step < self._marks[-1][1]):
            self._marks.clear()
            self._total = total
        self._marks.append((now, step))
        while len(self._marks) > 2 and now - self._marks[1][0] > _PACE_SECONDS:
            self._marks.popleft()
        if step >= total:
            return 0.0
        first_time, first_step = self._marks[0]
        if now - first_time < _FIRST_PACE_SECONDS or step == first_step:
            return None
        return (total - step) * (now - first_time) / (step - first_step)


def write_status(folder: RunFolder, status: RunStatus) -> None:
    """Replace ``status.json``.

    Raises
    ------
    OSError
        From the file system.
    """
    content = status_to_json(status)
    # Windows refuses to replace a file while someone reads it.
    for _ in range(5):
        try:
            write_json(folder.status_path, content)
        except PermissionError:
            time.sleep(0.02)
        else:
            return
    write_json(folder.status_path, content)


def _updated(status: RunStatus, event: Event) -> RunStatus:
    match event:
        case StageStarted():
            return replace(status, step=event.resumed_at, total=event.total_steps)
        case Progress():
            return replace(
                status,
                step=event.step,
                total=event.total,
                seconds_left=event.seconds_left,
                message=event.message,
            )
        case CheckpointWritten():
            return replace(status, checkpoint_step=event.step)
        case StageEnded():
            return replace(
                status,
                state=RunState(event.reason),
                seconds_left=None,
                message=event.text,
            )
    return status


def _is_at_work(folder: RunFolder, status: RunStatus) -> bool:
    is_other = status.process != mark_process()
    running = status.state is RunState.RUNNING
    return running and is_other and folder.is_at_work(status)
