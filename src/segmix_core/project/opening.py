"""Connections to a project's file, and what is checked before one is trusted.

The file may come from anywhere: it is read with ``trusted_schema`` off, and tables,
triggers and views that SegMix did not make are refused.
"""

import shutil
import sqlite3
import time
from contextlib import closing
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from segmix_core.errors import ProjectError
from segmix_core.files import temporary_folder
from segmix_core.project.packing import DamagedError, UnreadableError

FORMAT = 2
APPLICATION_ID = 0x5365674D  # "SegM"
BUSY_SECONDS = 5.0
MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100
_MAX_VALUE_BYTES = 2**29
_CHECK_SECONDS = 1.0
_COMPANIONS = ("-wal", "-shm", "-journal")

Row = tuple[Any, ...]
"""One row of a query; SQLite's columns have no static type."""
Item = tuple[str, str, str]
"""Type, name and SQL of a table, index, trigger or view."""


def connect(path: Path, mode: str = "") -> sqlite3.Connection:
    """Return a connection that trusts nothing of the file.

    ``mode`` is the query of an SQLite URI, such as ``"?mode=ro"``; without one the
    file is opened for reading and writing.

    Raises
    ------
    ProjectError
        If there is no such file.
    sqlite3.Error
        If SQLite cannot open it.
    """
    if not path.is_file():
        raise ProjectError(
            f"{path.parent} is not a SegMix project: it has no file {path.name}.",
            "Choose a project folder, or create a new project.",
        )
    connection = sqlite3.connect(
        path.absolute().as_uri() + (mode or "?mode=rw"),
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        uri=True,
    )
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def schema_script() -> str:
    """Return the SQL that makes the tables of a project, a statement a line or more.

    Without comments, which SQLite would store: so all of it fits into the first page,
    and no other damaged page makes every table unreadable.
    """
    schema = resources.files("segmix_core.project").joinpath("schema.sql")
    lines = schema.read_text(encoding="utf-8").splitlines()
    return (
        "".join(f"{line.partition('--')[0].rstrip()}\n" for line in lines)
        + f"PRAGMA application_id = {APPLICATION_ID};\n"
        + f"PRAGMA user_version = {FORMAT};\n"
    )


def check_header(path: Path) -> None:
    """Raise unless a file can be a project, by its first bytes and its size.

    Raises
    ------
    ProjectError
        If it is another file, or its end is missing.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header.startswith(MAGIC) or len(header) < _HEADER_BYTES:
        raise UnreadableError(
            f"{path} is not a SegMix project, or its header is damaged.",
            "Choose another folder, or run 'segmix restore' on this one.",
        )
    # Pages that are still in the write-ahead log are missing from the file.
    if path.stat().st_size < expected_size(header) and not _size(path, "-wal"):
        raise DamagedError(f"the end of {path.name} is missing")


def expected_size(header: bytes) -> int:
    """Return the bytes of a database by its first 32 or more."""
    page = int.from_bytes(header[16:18], "big")
    # A value of 1 stands for 65,536.
    return int.from_bytes(header[28:32], "big") * (65536 if page == 1 else page)


def check_application(connection: sqlite3.Connection, path: Path) -> int:
    """Return the format of a project's file.

    Raises
    ------
    ProjectError
        If it belongs to another program or a newer version.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise ProjectError(
            f"{path} belongs to another program, or is empty.",
            "Open the folder of a SegMix project.",
        )
    if not 1 <= version <= FORMAT:
        raise ProjectError(
            f"{path} has format {version}, written by a newer version of SegMix.",
            "Update napari-segmix to open it.",
        )
    return int(version)


def check_schema(connection: sqlite3.Connection, *, version: int = FORMAT) -> None:
    """Raise unless the file has the tables of a project and nothing that runs code.

    Raises
    ------
    ProjectError
        If there are triggers, views or other tables.
    """
    found = find_items(connection)
    active = sorted(name for kind, name, _ in found if kind in ("trigger", "view"))
    if active:
        raise UnreadableError(
            f"The project database contains triggers or views ({', '.join(active)}), "
            "which SegMix never creates.",
            "Open a copy from a trusted source.",
        )
    if version == FORMAT and found != expected_items():
        names = sorted({name for _, name, _ in found ^ expected_items()})
        raise DamagedError(f"tables differ: {', '.join(names[:5])}")


def check_companions(path: Path) -> None:
    """Raise unless a write-ahead log or journal beside a file belongs to it.

    SQLite would replay whatever lies there: the log of another file, or of a newer
    state when an older copy was put back, tears the project. What it would make is
    looked at first, without changing anything.

    Raises
    ------
    ProjectError
        If the file does not fit what lies beside it.
    sqlite3.Error
        If the folder cannot be written to, which SQLite needs even for looking.
    """
    for suffix in _COMPANIONS:
        file = path.with_name(path.name + suffix)
        if file.exists() and not file.is_file():
            raise ProjectError(f"{file} is not a file.", "Move it to another place.")
    if not (_size(path, "-wal") or _size(path, "-journal")):
        return
    if _awaits_rollback(path):
        # A transaction was cut off, which SQLite mends by writing: seen on a copy.
        with temporary_folder() as folder:
            for file in (path, *companions(path)):
                shutil.copyfile(file, folder / file.name)
            _check_fit(folder / path.name, "?mode=rw")
    else:
        _check_fit(path, "?mode=ro")


def _awaits_rollback(path: Path) -> bool:
    # A journal is also there while another program writes without a log; that one may
    # be read past, and a copy of it would be of two moments.
    with closing(connect(path, "?mode=ro")) as connection:
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            if error_name(error) != "SQLITE_READONLY_ROLLBACK":
                raise
            return True
    return False


def _check_fit(path: Path, mode: str) -> None:
    mismatch = UnreadableError(
        f"{path.name} does not match {path.name}-wal or -journal; one was copied or "
        "replaced without the other.",
        "Run 'segmix repair' or 'segmix restore' on the project.",
    )
    connection = connect(path, mode)
    try:
        connection.execute("BEGIN")
        answer = check_briefly(connection)
        if answer == "ok" and not has_whole_journal(connection):
            answer = "entries of the journal are missing"
    except sqlite3.DatabaseError as error:
        # "No such table" has no name of its own.
        if error_name(error).startswith(
            ("SQLITE_ERROR", "SQLITE_NOTADB", "SQLITE_CORRUPT")
        ):
            raise mismatch from error
        raise
    finally:
        connection.close()
    if answer != "ok":
        raise mismatch


def has_whole_journal(connection: sqlite3.Connection) -> bool:
    """Whether no entry of the journal and no part is missing, as far as ids tell."""
    # Ids grow by one, but that a restored snapshot may jump ahead.
    (jumps,) = connection.execute(
        "SELECT ifnull(sum(id - 1 - (SELECT ifnull(max(id), 0) FROM journal "
        "WHERE id < j.id)), 0) FROM journal AS j WHERE kind = 'restore'"
    ).fetchone()
    (entries,) = connection.execute(
        "SELECT ifnull(max(id), 0) - count(*) FROM journal"
    ).fetchone()
    (parts,) = connection.execute(
        "SELECT ifnull(max(id), 0) - count(*) FROM part"
    ).fetchone()
    return bool(entries == jumps and parts == 0)


def check_briefly(connection: sqlite3.Connection) -> str:
    """Return "ok", or the first fault that SQLite finds within one second."""
    deadline = time.monotonic() + _CHECK_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
    try:
        return str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if error_name(error) != "SQLITE_INTERRUPT":
            raise
        return "ok"
    finally:
        connection.set_progress_handler(None, 0)


def error_name(error: sqlite3.Error) -> str:
    """Return SQLite's name of an error; errors of Python's module have none."""
    return str(getattr(error, "sqlite_errorname", ""))


def put_companions_aside(path: Path) -> None:
    """Rename logs of a database that is gone, so that a new one does not read them.

    Raises
    ------
    FileExistsError
        If the database is there: then the logs belong to it.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    found = [(file, file.stat().st_ino) for file in companions(path)]
    # Looked for before: logs that another program makes now have other numbers.
    if path.exists():
        raise FileExistsError(path)
    for leftover, number in found:
        if leftover.exists() and leftover.stat().st_ino == number:
            leftover.rename(leftover.with_name(f"{leftover.name}.old-{stamp}"))


def companions(path: Path) -> list[Path]:
    """Return the files of SQLite that lie beside a database."""
    found = (path.with_name(path.name + suffix) for suffix in _COMPANIONS)
    return [file for file in found if file.is_file()]


def _size(path: Path, suffix: str) -> int:
    file = path.with_name(path.name + suffix)
    return file.stat().st_size if file.exists() else 0


def find_items(connection: sqlite3.Connection) -> frozenset[Item]:
    """Return the tables, indexes, triggers and views of a database."""
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' "
        "ESCAPE '\\'"
    ).fetchall()
    return frozenset(
        (kind, name, " ".join((sql or "").split())) for kind, name, sql in rows
    )


@cache
def expected_items() -> frozenset[Item]:
    """Return the tables and indexes that a project of today's format has."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(schema_script())
        return find_items(connection)
    finally:
        connection.close()
