"""Copies of the whole project: one a day, before its first change, ten kept."""

import logging
import re
import sqlite3
import threading
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from segmix_core.errors import ProjectError
from segmix_core.files import remove_leftovers, temporary_name
from segmix_core.project import opening

_log = logging.getLogger(__name__)

FOLDER = "snapshots"
KEPT = 10
_DAILY = re.compile(r"\d{4}-\d\d-\d\d\.sqlite")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of the project as it was.

    Attributes
    ----------
    path
        The file.
    made
        When it was written, local time.
    size
        Bytes.
    """

    path: Path
    made: datetime
    size: int

    @property
    def name(self) -> str:
        """Name in lists and commands: the file name without its suffix."""
        return self.path.stem


def snapshot_folder(project: Path) -> Path:
    """Return the folder of a project's snapshots, which may not exist yet."""
    return project / FOLDER


def list_snapshots(project: Path) -> tuple[Snapshot, ...]:
    """Return the snapshots of a project folder, the newest first."""
    found = []
    for path in snapshot_folder(project).glob("*.sqlite"):
        if path.is_file():
            state = path.stat()
            made = datetime.fromtimestamp(state.st_mtime)
            found.append(Snapshot(path, made, state.st_size))
    return tuple(sorted(found, key=lambda entry: (entry.made, entry.name))[::-1])


@dataclass(frozen=True, slots=True)
class KeptCopy:
    """A copy that only the user removes.

    Attributes
    ----------
    path
        A file, or a folder of unreadable files.
    size
        Bytes.
    """

    path: Path
    size: int


def list_kept(project: Path) -> tuple[KeptCopy, ...]:
    """Return the copies that restores and conversions kept, by name."""
    folder = snapshot_folder(project)
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return tuple(
        KeptCopy(path, _size(path))
        for path in found
        if not (path.name.startswith(".") or _DAILY.fullmatch(path.name))
    )


def _size(path: Path) -> int:
    parts = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(part.lstat().st_size for part in parts if not part.is_dir())


def find_snapshot(project: Path, name: str) -> Snapshot:
    """Return a snapshot by name.

    Raises
    ------
    ProjectError
        If there is none; the hint lists the existing ones.
    """
    snapshots = list_snapshots(project)
    for entry in snapshots:
        if entry.name == name:
            return entry
    names = ", ".join(entry.name for entry in snapshots) or "none yet"
    raise ProjectError(
        f"{project.name} has no snapshot {name!r}.",
        f"The snapshots are: {names}.",
    )


def copy_database(source: sqlite3.Connection, path: Path) -> None:
    """Copy a database to a file, completely or not at all.

    Raises
    ------
    sqlite3.Error, OSError
        If it cannot be read or written.
    """
    path.parent.mkdir(exist_ok=True)
    remove_leftovers(path.parent)
    temporary = path.with_name(temporary_name())
    try:
        target = sqlite3.connect(temporary)
        try:
            source.backup(target)
        finally:
            target.close()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class DailySnapshots:
    """Takes a snapshot before the first change of a day, without delaying it.

    The copy is made in a thread, from the state when it was requested.

    Parameters
    ----------
    database
        The project's file.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._day: date | None = None
        self._thread: threading.Thread | None = None

    def take_if_due(self) -> None:
        """Start today's snapshot unless there is one."""
        today = date.today()
        if self._day == today:
            return
        path = snapshot_folder(self._database.parent) / f"{today.isoformat()}.sqlite"
        try:
            if not path.exists():
                self._take(path)
            self._day = today
        except (sqlite3.Error, OSError) as error:
            # The next change tries again; this one is stored anyway.
            _log.warning("No snapshot of %s was taken: %s", self._database, error)

    def _take(self, path: Path) -> None:
        connection = opening.connect(self._database)
        try:
            self._begin(connection, path)
        except BaseException:
            connection.close()
            raise

    def _begin(self, connection: sqlite3.Connection, path: Path) -> None:
        """Copy the current state of ``connection``, then close it."""
        # A read transaction keeps this state, whatever is written meanwhile.
        connection.execute("BEGIN")
        row = connection.execute("SELECT count(*) FROM journal").fetchone()
        if not row[0]:
            connection.close()
            return
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            # Without a write-ahead log, a reader blocks writers.
            _copy_and_tidy(connection, path)
            return
        self.wait()
        self._thread = threading.Thread(
            target=_copy_and_tidy, args=(connection, path), name="segmix-snapshot"
        )
        self._thread.start()

    def wait(self) -> None:
        """Wait for a snapshot in progress."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None


def _copy_and_tidy(connection: sqlite3.Connection, path: Path) -> None:
    try:
        copy_database(connection, path)
        daily = sorted(
            entry for entry in path.parent.iterdir() if _DAILY.fullmatch(entry.name)
        )
        for old in daily[:-KEPT]:
            old.unlink(missing_ok=True)
    except (sqlite3.Error, OSError) as error:
        # A failed snapshot must not keep the label from being stored.
        _log.warning("No snapshot of %s was taken: %s", path.parent.parent, error)
    finally:
        connection.close()
