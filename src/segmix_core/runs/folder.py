"""The folder of a run: its layout, and the state of the run."""

import itertools
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from segmix_core.disk_errors import reason_of
from segmix_core.errors import JobError
from segmix_core.events import Event, StageEnded
from segmix_core.files import (
    JsonError,
    flush_folder,
    open_regular,
    printable,
    read_json,
    remove_leftovers,
    temporary_name,
    write_json,
)
from segmix_core.runs.event_log import last_event, read_events
from segmix_core.runs.request import RunRequest, damaged, from_json, to_json
from segmix_core.runs.status import RunState, RunStatus, is_alive, status_from_json

_LOG_TAIL_BYTES = 1 << 16
_MAX_STATUS_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run on disk.

    ::

        config.json    the request (:class:`RunRequest`)
        events.jsonl   the events, one per line
        status.json    heartbeat of the process
        log.txt        output of the process
        previews/      pictures for the viewer
        checkpoints/   weights to resume from
        STOP           asks the process to stop
        .lock          locked by the running process
    """

    path: Path

    @classmethod
    def create(cls, runs_path: Path, request: RunRequest) -> "RunFolder":
        """Create a folder below ``runs_path`` and store the request in it.

        Raises
        ------
        JobError
            If the folder cannot be written.
        """
        moment = datetime.fromtimestamp(request.created)
        name = f"{moment:%Y-%m-%dT%H-%M-%S}_{request.stage}"
        try:
            if runs_path.is_symlink():
                raise OSError("it is a symbolic link")
            runs_path.mkdir(parents=True, exist_ok=True)
            return cls(_make_folder(runs_path, name, request))
        except OSError as error:
            raise JobError(
                f"{runs_path} cannot be written ({reason_of(error)}).",
                "Free disk space or make the folder writable.",
            ) from error

    @property
    def name(self) -> str:
        """Name of the folder: date, time and stage."""
        return self.path.name

    @property
    def events_path(self) -> Path:
        """The file of events."""
        return self.path / "events.jsonl"

    @property
    def status_path(self) -> Path:
        """The file with the heartbeat."""
        return self.path / "status.json"

    @property
    def log_path(self) -> Path:
        """The file with everything the process printed."""
        return self.path / "log.txt"

    @property
    def previews_path(self) -> Path:
        """The folder of previews."""
        return self.path / "previews"

    @property
    def checkpoints_path(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def stop_path(self) -> Path:
        """The file that asks the process to stop."""
        return self.path / "STOP"

    def request(self) -> RunRequest:
        """Read the request of the run.

        Raises
        ------
        JobError
            If the folder is damaged, not a run, or from a newer SegMix; ``reason`` says
            it in a few words.
        """
        try:
            self._check_entries()
            return from_json(read_json(self.path / "config.json"), self.path)
        except FileNotFoundError:
            raise damaged(self.path, "it has no config.json") from None
        except JsonError as error:
            reason = f"its config.json cannot be read: {error}"
            raise damaged(self.path, reason) from error
        except OSError as error:
            reason = f"it cannot be read ({reason_of(error)})"
            raise damaged(self.path, reason) from error

    def _check_entries(self) -> None:
        # In a folder from someone else a link could point to any file of the user.
        if self.path.is_symlink():
            raise damaged(self.path, "it is a symbolic link")
        if not self.path.exists():
            raise JobError(
                f"{printable(str(self.path))} is not a run.",
                "Choose a folder inside the project's 'runs' folder.",
            )
        if not self.path.is_dir():
            raise damaged(self.path, "it is not a folder")
        with os.scandir(self.path) as entries:
            for entry in entries:
                if entry.is_symlink():
                    reason = f"it contains the symbolic link {printable(entry.name)}"
                    raise damaged(self.path, reason)
        events = self.events_path
        if events.exists() and not (events.is_file() and os.access(events, os.R_OK)):
            raise damaged(self.path, "its events.jsonl cannot be read")

    def status(self) -> RunStatus:
        """Return the last status written; :meth:`state` also checks the process."""
        try:
            return status_from_json(_read_shared(self.status_path))
        except FileNotFoundError:
            return RunStatus()
        except (OSError, ValueError):
            return status_from_json(None)

    def state(self) -> RunState:
        """Return the state of the run, after checking whether its process is alive."""
        status = self.status()
        if status.state is not RunState.RUNNING:
            return status.state
        # The last event is written just before the last status and the process's end.
        if ended := self.ended():
            return RunState(ended.reason)
        at_work = self.is_at_work(status)
        return RunState.RUNNING if at_work else RunState.INTERRUPTED

    def is_at_work(self, status: RunStatus) -> bool:
        """Whether the process that wrote ``status`` is running and uses this folder."""
        return is_alive(status) and not _is_copy(Path(status.folder), self.path)

    def ended(self) -> StageEnded | None:
        """Return how the run ended; None while it is running or if it crashed."""
        event, position = last_event(self.events_path)
        started = self.status().events_from
        return event if isinstance(event, StageEnded) and position >= started else None

    def events(self, offset: int = 0, max_bytes: int = -1) -> tuple[list[Event], int]:
        """Return the events after byte ``offset``, and the offset to go on from.

        At most about ``max_bytes`` are read; -1 reads all there is.
        """
        return read_events(self.events_path, offset, max_bytes)

    def request_stop(self) -> None:
        """Ask the process to stop within its next step.

        Raises
        ------
        JobError
            If the folder cannot be written.
        """
        try:
            self.stop_path.touch()
        except OSError as error:
            raise JobError(
                f"{self.path} cannot be written ({reason_of(error)}).",
                "Make the folder writable, or kill the process of the run.",
            ) from error

    def clear_stop_request(self) -> None:
        """Remove the request to stop, before the run is started again."""
        self.stop_path.unlink(missing_ok=True)

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of ``log.txt``, "" if there are none."""
        try:
            with open_regular(self.log_path) as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - _LOG_TAIL_BYTES))
                text = file.read().decode("utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


@dataclass(frozen=True, slots=True)
class DamagedRun:
    """An entry among the runs that cannot be read; ``reason`` says why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class RunScan:
    """The contents of a folder of runs: runs, oldest first, and damaged entries."""

    runs: tuple[RunFolder, ...]
    damaged: tuple[DamagedRun, ...]


def scan_runs(runs_path: Path) -> RunScan:
    """Return all runs below ``runs_path``, and the entries that cannot be read.

    Hidden files are skipped.
    """
    found: list[tuple[float, str, RunFolder]] = []
    lost: list[DamagedRun] = []
    try:
        if runs_path.is_symlink():
            return RunScan((), (DamagedRun(runs_path, "it is a symbolic link"),))
        names = sorted(entry.name for entry in os.scandir(runs_path))
    except FileNotFoundError:
        return RunScan((), ())
    except OSError as error:
        reason = f"it cannot be read ({reason_of(error)})"
        return RunScan((), (DamagedRun(runs_path, reason),))
    for name in names:
        if name.startswith("."):
            continue
        folder = RunFolder(runs_path / name)
        try:
            found.append((folder.request().created, name, folder))
        except JobError as error:
            lost.append(DamagedRun(folder.path, error.reason))
    runs = tuple(folder for _, _, folder in sorted(found, key=lambda e: e[:2]))
    return RunScan(runs, tuple(lost))


def list_runs(runs_path: Path) -> tuple[RunFolder, ...]:
    """Return all runs below ``runs_path``, oldest first, without damaged ones."""
    return scan_runs(runs_path).runs


def read_requests(
    runs: Iterable[RunFolder],
) -> Iterator[tuple[RunFolder, RunRequest]]:
    """Yield runs with their requests; those that became unreadable are skipped."""
    for run in runs:
        with suppress(JobError):
            yield run, run.request()


def find_latest(runs_path: Path, stage: str) -> RunFolder | None:
    """Return the newest completed run of ``stage``, or None."""
    for folder, request in read_requests(reversed(list_runs(runs_path))):
        if request.stage == stage and folder.state() is RunState.COMPLETED:
            return folder
    return None


def _make_folder(runs_path: Path, name: str, request: RunRequest) -> Path:
    # Renamed once complete, so that nobody sees a run without a request.
    remove_leftovers(runs_path)
    made = runs_path / temporary_name()
    made.mkdir()
    try:
        for number in itertools.count(1):
            path = runs_path / (name if number == 1 else f"{name}-{number}")
            write_json(made / "config.json", to_json(request, path))
            if not path.exists() and _rename(made, path):
                break
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    flush_folder(runs_path)
    return path


def _rename(made: Path, path: Path) -> bool:
    try:
        made.rename(path)
    except OSError:
        if path.exists():
            return False  # Another program has taken the name.
        raise
    return True


def _is_copy(original: Path, here: Path) -> bool:
    """Whether the process uses another existing folder, of which this is a copy."""
    try:
        return original.is_absolute() and not original.samefile(here)
    except (OSError, ValueError):
        return False  # It was moved, or has another path on this machine.


def _read_shared(path: Path) -> Any:
    # Windows refuses to open a file while it is being replaced.
    for _ in range(5):
        try:
            return read_json(path, max_bytes=_MAX_STATUS_BYTES)
        except PermissionError:
            time.sleep(0.02)
    return read_json(path, max_bytes=_MAX_STATUS_BYTES)
