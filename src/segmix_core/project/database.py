"""The connection to a project's file: durable, shared by threads, never torn."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from threading import RLock
from typing import Any, Self

from segmix_core.errors import ProjectError

FILE_NAME = "project.sqlite"
SCHEMA_VERSION = 1
_APPLICATION_ID = 0x5365674D  # "SegM"
_BUSY_SECONDS = 5.0
_UNWRITABLE = ("SQLITE_CANTOPEN", "SQLITE_READONLY")

Row = tuple[Any, ...]
"""One row of a query; SQLite's columns have no static type."""


class Database:
    """One connection; every call may come from any thread.

    A write is in the file, flushed to disk, when :meth:`transaction` ends.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._lock = RLock()
        self.path = path
        self.is_read_only = False

    @classmethod
    def create(cls, path: Path, classes: Sequence[tuple[int, str, str]]) -> Self:
        """Write a project with ``classes`` (index, name, colour) to ``path``; open it.

        Raises
        ------
        ProjectError
            If the file cannot be written.
        """
        # The file gets its name when it is complete: a crash leaves no half project.
        temporary = path.with_name(f".{path.name}.new")
        schema = resources.files("segmix_core.project").joinpath("schema.sql")
        try:
            temporary.unlink(missing_ok=True)
            connection = sqlite3.connect(temporary, isolation_level=None)
            try:
                connection.executescript(
                    f"BEGIN; {schema.read_text(encoding='utf-8')}"
                    f"PRAGMA application_id = {_APPLICATION_ID};"
                    f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
                )
                connection.executemany("INSERT INTO class VALUES (?,?,?)", classes)
            finally:
                connection.close()
            temporary.replace(path)
        except sqlite3.Error as error:
            raise _explained(error, path) from error
        except OSError as error:
            raise _unwritable(path, str(error)) from error
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open ``path``; read only where the folder or disk allows no more.

        Raises
        ------
        ProjectError
            If it is no project, is damaged, or was written by a newer version.
        """
        database = None
        try:
            database = cls(_connect(path, ""), path)
            database._start()
        except sqlite3.Error as error:
            if database is not None:
                database.close()
            if not error.sqlite_errorname.startswith(_UNWRITABLE):
                raise _explained(error, path) from error
            database = cls._open_read_only(path)
        except ProjectError:
            if database is not None:
                database.close()
            raise
        return database

    @classmethod
    def _open_read_only(cls, path: Path) -> Self:
        # SQLite cannot share a WAL file in a folder it may not write to; without one
        # the file is complete and may be read as it is.
        wal = path.with_name(path.name + "-wal")
        is_whole = not wal.exists() or wal.stat().st_size == 0
        mode = "?mode=ro&immutable=1" if is_whole else "?mode=ro"
        database = cls(_connect(path, mode), path)
        try:
            database.is_read_only = True
            database._check_version()
        except (sqlite3.Error, ProjectError) as error:
            database.close()
            if isinstance(error, ProjectError):
                raise
            raise _explained(error, path) from error
        return database

    def _start(self) -> None:
        self._check_version()
        # Network drives refuse WAL; the older journal is slower and as safe.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.execute("PRAGMA temp_store = MEMORY")
        self._probe_writing()

    def _probe_writing(self) -> None:
        # A file that cannot be written is noticed now, not at the first label.
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            # Another program writes at the moment, so the file can be written.
            if not error.sqlite_errorname.startswith("SQLITE_BUSY"):
                raise
        self._connection.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000:.0f}")

    def _check_version(self) -> None:
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if application != _APPLICATION_ID:
            raise ProjectError.unexpected(
                f"a SegMix project in {self.path}",
                "another or an empty SQLite file",
                "Open the folder that holds project.sqlite, or restore a copy of it.",
            )
        if version > SCHEMA_VERSION:
            raise ProjectError.unexpected(
                f"a project of format {SCHEMA_VERSION} or older in {self.path}",
                f"format {version}, written by a newer version of SegMix",
                "Update napari-segmix to open it.",
            )

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock; commit at the end, roll back on any error.

        Raises
        ------
        ProjectError
            If another program holds the lock, the disk is full or read only.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise _explained(error, self.path) from error
            finally:
                # SQLite has rolled back by itself after some errors.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Hold the connection for queries that change nothing."""
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise _explained(error, self.path) from error

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Hold the connection for several queries that see the same moment."""
        with self.reading() as connection:
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    def rows(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        """Return the rows of a query that changes nothing."""
        with self.reading() as connection:
            return connection.execute(query, values).fetchall()

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        with self._lock:
            self._connection.close()


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    if not path.is_file():
        raise ProjectError.unexpected(
            f"a project at {path.parent}",
            f"no file {path.name} there",
            "Choose a project folder, or create a new project.",
        )
    target = path.absolute().as_uri() + mode if mode else str(path)
    return sqlite3.connect(
        target,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        uri=bool(mode),
    )


def _explained(error: sqlite3.Error, path: Path) -> Exception:
    """Return the error a user can act on; programming mistakes stay as they are."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return ProjectError.unexpected(
            f"to write to {path}",
            f"a project that another program has kept locked for {_BUSY_SECONDS:g} s",
            "Wait for the other program to finish or close it, then try again.",
        )
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return ProjectError.unexpected(
            f"to write to {path}",
            f"a full or failing disk ({error})",
            "Free some space and try again; everything saved before is still there.",
        )
    if name.startswith((*_UNWRITABLE, "SQLITE_PERM", "SQLITE_AUTH")):
        return _unwritable(path, str(error))
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return ProjectError.unexpected(
            f"an undamaged project in {path}",
            f"a file SQLite cannot read ({error})",
            "Keep the file, and restore a copy of the project folder.",
        )
    return error


def _unwritable(path: Path, reason: str) -> ProjectError:
    return ProjectError.unexpected(
        f"a folder that can be written to at {path.parent}",
        f"one that cannot ({reason})",
        "Change its permissions, or copy the project to another folder.",
    )
