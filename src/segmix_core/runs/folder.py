"""The folder of a run: its layout, and what it says about the run."""

import json
import time
from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from segmix_core.errors import JobError
from segmix_core.events import Event, StageEnded
from segmix_core.files import read_json, write_json
from segmix_core.runs.event_log import last_event, read_events
from segmix_core.runs.request import RunRequest, from_json, to_json
from segmix_core.runs.status import RunState, RunStatus, is_alive, status_from_json

_LOG_TAIL_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run on disk.

    ::

        config.json    what was asked (:class:`RunRequest`)
        events.jsonl   what happened, one event a line
        status.json    heartbeat of the process
        log.txt        what the process printed
        previews/      pictures for the viewer
        checkpoints/   weights to go on from
        STOP           asks the process to stop
        .lock          locked by the process at work
    """

    path: Path

    @classmethod
    def create(cls, runs_path: Path, request: RunRequest) -> "RunFolder":
        """Make a new folder below ``runs_path`` and store the request in it.

        Raises
        ------
        JobError
            If the folder cannot be written.
        """
        moment = datetime.fromtimestamp(request.created)
        name = f"{moment:%Y-%m-%dT%H-%M-%S}_{request.stage}"
        try:
            runs_path.mkdir(parents=True, exist_ok=True)
            path = _new_folder(runs_path, name)
            write_json(path / "config.json", to_json(request, path))
        except OSError as error:
            raise JobError.unexpected(
                f"to be able to write in {runs_path}",
                f"'{error.strerror}'",
                "Free disk space or make the folder writable.",
            ) from error
        return cls(path)

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
        """Return what the run was asked to do.

        Raises
        ------
        JobError
            If the folder is not that of a run, or of a newer SegMix.
        """
        try:
            return from_json(read_json(self.path / "config.json"), self.path)
        except (OSError, ValueError) as error:
            raise JobError.unexpected(
                f"the folder of a run at {self.path}",
                f"no readable config.json ({error})",
                "Choose a folder inside the project's 'runs' folder.",
            ) from error

    def status(self) -> RunStatus:
        """Return the last status the process wrote; see :meth:`state` for the truth."""
        try:
            return status_from_json(json.loads(_read_shared(self.status_path)))
        except FileNotFoundError:
            return RunStatus()
        except (OSError, ValueError):
            return status_from_json(None)

    def state(self) -> RunState:
        """Return what has become of the run, asking whether its process is alive."""
        status = self.status()
        if status.state is not RunState.RUNNING:
            return status.state
        # The last event comes a moment before the last status and the process's end.
        if ended := self.ended():
            return RunState(ended.reason)
        return RunState.RUNNING if is_alive(status) else RunState.INTERRUPTED

    def ended(self) -> StageEnded | None:
        """Return how the run's last life ended, or None if it did not say."""
        event, position = last_event(self.events_path)
        started = self.status().events_from
        return event if isinstance(event, StageEnded) and position >= started else None

    def events(self, offset: int = 0, max_bytes: int = -1) -> tuple[list[Event], int]:
        """Return the events after byte ``offset``, and the offset to go on from.

        At most about ``max_bytes`` are read; -1 reads all there is.
        """
        return read_events(self.events_path, offset, max_bytes)

    def request_stop(self) -> None:
        """Ask the process to stop within its next step."""
        self.stop_path.touch()

    def take_back_stop(self) -> None:
        """Forget a request to stop, before the run is started again."""
        self.stop_path.unlink(missing_ok=True)

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of ``log.txt``, "" if there are none."""
        try:
            with self.log_path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - _LOG_TAIL_BYTES))
                text = file.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


def list_runs(runs_path: Path) -> tuple[RunFolder, ...]:
    """Return all runs below ``runs_path``, oldest first; other folders are skipped."""
    found: list[tuple[float, str, RunFolder]] = []
    for config in runs_path.glob("*/config.json"):
        folder = RunFolder(config.parent)
        try:
            found.append((folder.request().created, folder.name, folder))
        except JobError:
            continue
    return tuple(folder for _, _, folder in sorted(found, key=lambda entry: entry[:2]))


def find_latest(
    runs_path: Path,
    stage: str,
    states: Container[RunState] = (RunState.COMPLETED,),
) -> RunFolder | None:
    """Return the newest run of ``stage`` in one of ``states``, or None."""
    for folder in reversed(list_runs(runs_path)):
        if folder.request().stage == stage and folder.state() in states:
            return folder
    return None


def _new_folder(runs_path: Path, name: str) -> Path:
    number = 1
    while True:
        path = runs_path / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            number += 1


def _read_shared(path: Path) -> str:
    # Windows refuses to open a file in the moment in which it is replaced.
    for _ in range(5):
        try:
            return path.read_text(encoding="utf-8")
        except PermissionError:
            time.sleep(0.02)
    return path.read_text(encoding="utf-8")
