"""The connection to a project's file: durable, atomic, shared by threads."""

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Self

from segmix_core.disk_errors import reason_of
from segmix_core.errors import ProjectError
from segmix_core.files import (
    flush_folder,
    make_temporary_folder,
    remove_leftovers,
    temporary_name,
)
from segmix_core.project import opening
from segmix_core.project.migration import migrate
from segmix_core.project.opening import Row, error_name
from segmix_core.project.packing import DamagedError
from segmix_core.project.records import INITIAL_CLASSES, TissueClass

FILE_NAME = "project.sqlite"
_UNWRITABLE = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")


class Database:
    """One connection; every call may come from any thread.

    A write is in the file, flushed to disk, when :meth:`transaction` ends.

    Attributes
    ----------
    path
        The file.
    is_read_only
        Whether the folder or disk forbids changes.
    before_change
        Called before each transaction, in its thread.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        *,
        is_read_only: bool = False,
        copy: Path | None = None,
    ) -> None:
        self._connection = connection
        self._lock = RLock()
        self._copy = copy
        self._identity = _identity(path)
        self._seen_version = self._data_version()
        self._is_writing = False
        self.path = path
        self.is_read_only = is_read_only
        self.before_change: Callable[[], None] | None = None

    @classmethod
    def create(cls, path: Path, classes: Sequence[TissueClass]) -> Self:
        """Create a project with ``classes`` at ``path`` and open it.

        Raises
        ------
        ProjectError
            If there is a project already, or the file cannot be written.
        """
        # The file gets its name once it is complete: a crash leaves no partial
        # project, and of two programs that create one, the second sees the first.
        temporary = path.with_name(temporary_name())
        try:
            write_empty(temporary, classes)
            try:
                opening.put_companions_aside(path)
                _publish(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
            flush_folder(path.parent)
        except FileExistsError as error:
            raise ProjectError(
                f"{path.parent} already contains a project.",
                "Open it, or choose another folder.",
            ) from error
        except sqlite3.Error as error:
            raise explained(error, path) from error
        except OSError as error:
            raise _unwritable(path, str(error)) from error
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open ``path``, read-only if the folder or disk is.

        A project of an older format is converted; a backup is kept.

        Raises
        ------
        ProjectError
            If it is not a project, is damaged, or was written by a newer version.
        """
        try:
            if path.is_file():
                opening.check_header(path)
            opening.check_companions(path)
            return cls._open_to_write(path)
        except sqlite3.Error as error:
            if not error_name(error).startswith(_UNWRITABLE):
                raise _refusal(error, path) from error
        except OSError as error:
            raise ProjectError(
                f"{path} cannot be read ({reason_of(error)}).",
                "Reconnect its disk, or change its permissions.",
            ) from error
        try:
            return cls._open_read_only(path)
        except sqlite3.Error as error:
            raise _refusal(error, path) from error

    @classmethod
    def _open_to_write(cls, path: Path) -> Self:
        connection = opening.connect(path)
        try:
            _check(connection, path, migrates=True)
            # Network drives refuse WAL; the rollback journal is slower but as safe.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            _probe_writing(connection)
            remove_leftovers(path.parent)
            remove_leftovers(Path(tempfile.gettempdir()))
            return cls(connection, path)
        except BaseException:
            connection.close()
            raise

    @classmethod
    def _open_read_only(cls, path: Path) -> Self:
        # In a read-only folder SQLite can use a WAL file only while its writer has it
        # open. Without a WAL the file is complete and is read directly; with one, a
        # copy of both is.
        with suppress(sqlite3.Error):
            return cls._open_shared(path)
        waiting = [file for file in opening.companions(path) if file.stat().st_size]
        copy = make_temporary_folder() if waiting else None
        connection = None
        try:
            if copy is None:
                connection = opening.connect(path, "?mode=ro&immutable=1")
            else:
                for file in (path, *waiting):
                    shutil.copyfile(file, copy / file.name)
                opening.check_companions(copy / path.name)
                connection = opening.connect(copy / path.name)
            _check(connection, path, migrates=False)
            return cls(connection, path, is_read_only=True, copy=copy)
        except BaseException:
            if connection is not None:
                connection.close()
            if copy is not None:
                shutil.rmtree(copy, ignore_errors=True)
            raise

    @classmethod
    def _open_shared(cls, path: Path) -> Self:
        connection = opening.connect(path, "?mode=ro")
        try:
            _check(connection, path, migrates=False)
            return cls(connection, path, is_read_only=True)
        except BaseException:
            connection.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock; commit at the end, roll back on any error.

        Inside another transaction of the same thread it is a part of that one.

        Raises
        ------
        ProjectError
            If another program holds the lock, the disk is full or read only, or the
            file was deleted or replaced.
        """
        with self._lock:
            if self._connection.in_transaction:
                with self._nested():
                    yield self._connection
                return
            self._prepare_change()
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._is_writing = True
                yield self._connection
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise explained(error, self.path) from error
            finally:
                self._is_writing = False
                # SQLite has rolled back by itself after some errors.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def _nested(self) -> Iterator[None]:
        """Begin a nested transaction that is rolled back on its own if it fails."""
        if not self._is_writing:
            raise ValueError("A change began while a snapshot was read")
        self._connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO part")
            raise
        finally:
            if self._connection.in_transaction:
                self._connection.execute("RELEASE part")

    def check_writable(self) -> None:
        """Raise an error if the project is read-only.

        Raises
        ------
        ProjectError
            If it is.
        """
        if self.is_read_only:
            raise _unwritable(self.path, "it was opened read-only")

    def _prepare_change(self) -> None:
        self.check_writable()
        # Labels written to a deleted file would be lost.
        self._check_in_place(
            "Restore the file and open the project again; this change was not saved."
        )
        if self.before_change is not None:
            self.before_change()

    def _check_in_place(self, hint: str) -> None:
        if _identity(self.path) != self._identity:
            raise ProjectError(
                f"{self.path} was deleted, moved or replaced while it was open.", hint
            )

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Hold the connection for queries that change nothing."""
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise explained(error, self.path) from error

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

    def is_changed_elsewhere(self) -> bool | None:
        """Whether another connection has changed the file since the last call.

        None while another thread of this program writes; never waits for it.

        Raises
        ------
        ProjectError
            If the file was deleted, moved or replaced.
        """
        self._check_in_place("Restore the file; changes cannot be saved until then.")
        if not self._lock.acquire(blocking=False):
            return None
        try:
            version = self._data_version()
            is_new = version != self._seen_version
            self._seen_version = version
            return is_new
        except sqlite3.Error as error:
            raise explained(error, self.path) from error
        finally:
            self._lock.release()

    def _data_version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        with self._lock:
            self._connection.close()
            if self._copy is not None:
                shutil.rmtree(self._copy, ignore_errors=True)


def write_empty(path: Path, classes: Sequence[TissueClass]) -> None:
    """Write a project without images to a new file.

    Raises
    ------
    sqlite3.Error, OSError
        If it cannot be written.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        # Set here, so that a crash can only damage a temporary file.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN; {opening.schema_script()} COMMIT;")
        connection.executemany(
            "INSERT INTO class (idx, name, color, since) VALUES (?,?,?,?)",
            [(entry.index, entry.name, entry.color, entry.since) for entry in classes],
        )
        connection.execute(
            "INSERT INTO setting VALUES (?,?)",
            (INITIAL_CLASSES, json.dumps([[c.name, c.color] for c in classes])),
        )
    finally:
        connection.close()


def _publish(temporary: Path, path: Path) -> None:
    """Move a complete file to its final name; FileExistsError if that exists."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems (FAT, network drives) have no hard links: reserve the name
        # with an empty file, which only one program can create.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        temporary.replace(path)


def _check(connection: sqlite3.Connection, path: Path, *, migrates: bool) -> None:
    version = opening.check_application(connection, path)
    opening.check_schema(connection, version=version)
    if version == opening.FORMAT:
        return
    unwritable = ProjectError(
        f"{path} has the older format {version} and is read-only.",
        "Copy the project to a writable folder and open the copy.",
    )
    if not migrates:
        raise unwritable
    try:
        migrate(connection, path)
    except OSError as error:
        raise unwritable from error
    opening.check_schema(connection)


def _probe_writing(connection: sqlite3.Connection) -> None:
    # Find out now, not at the first label, that a file cannot be written.
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        # Another program is writing, so the file is writable.
        if not error_name(error).startswith("SQLITE_BUSY"):
            raise
    connection.execute(f"PRAGMA busy_timeout = {opening.BUSY_SECONDS * 1000:.0f}")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _refusal(error: sqlite3.Error, path: Path) -> Exception:
    """Return why a file cannot be opened; unexplained errors count as damage."""
    found = explained(error, path)
    return DamagedError(f"{path.name}: {error}") if found is error else found


def explained(error: sqlite3.Error, path: Path) -> Exception:
    """Turn an SQLite error into one the user can act on, if there is one."""
    name = error_name(error)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return ProjectError(
            f"{path} has been locked by another program for {opening.BUSY_SECONDS:g} "
            "s.",
            "Wait for that program or close it, then try again.",
        )
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return ProjectError(
            f"{path} cannot be written: the disk is full or failing ({error}).",
            "Free some space and try again; everything saved before is still there.",
        )
    if name.startswith(_UNWRITABLE):
        return _unwritable(path, str(error))
    # "Could not decode to UTF-8" has no SQLite error name.
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_TOOBIG")) or (
        "decode" in str(error)
    ):
        return DamagedError(f"{path.name}: {error}")
    return error


def _unwritable(path: Path, reason: str) -> ProjectError:
    return ProjectError(
        f"{path.parent} cannot be written to ({reason}).",
        "Change its permissions, or copy the project to another folder.",
    )
