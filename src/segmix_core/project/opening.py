"""Connections to a project's file, and the checks before it is trusted.

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
    """Open a connection that trusts nothing in the file.

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
    """Return the SQL that creates the tables of a project.

    Comments are removed because SQLite would store them. The schema then fits into the
    first page, so damage to another page cannot make every table unreadable.
    """
    schema = resources.files("segmix_core.project").joinpath("schema.sql")
    lines = schema.read_text(encoding="utf-8").splitlines()
    return (
        "".join(f"{line.partition('--')[0].rstrip()}\n" for line in lines)
        + f"PRAGMA application_id = {APPLICATION_ID};\n"
        + f"PRAGMA user_version = {FORMAT};\n"
    )


def check_header(path: Path) -> None:
    """Check by its first bytes and its size that a file can be a project.

    Raises
    ------
    ProjectError
        If it is some other file, or it was cut short.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header.startswith(MAGIC) or len(header) < _HEADER_BYTES:
        raise UnreadableError(
            f"{path} is not a SegMix project, or its header is damaged.",
            "Choose another folder, or run 'segmix restore' on this one.",
        )
    # Pages may still be in the write-ahead log only.
    if path.stat().st_size < expected_size(header) and not _size(path, "-wal"):
        raise DamagedError(f"the end of {path.name} is missing")


def expected_size(header: bytes) -> int:
    """Return the file size stated in the first 32 bytes of a database."""
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
    """Check that the file has the tables of a project and nothing that runs code.

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
    """Check that the write-ahead log or journal beside a file belongs to it.

    SQLite replays whatever lies there. The log of another file, or of a newer state
    after an older copy was put back, would corrupt the project, so the result is
    inspected first without changing anything.

    Raises
    ------
    ProjectError
        If the log does not belong to the file.
    sqlite3.Error
        If the folder is not writable; SQLite needs that even for reading.
    """
    for suffix in _COMPANIONS:
        file = path.with_name(path.name + suffix)
        if file.exists() and not file.is_file():
            raise ProjectError(f"{file} is not a file.", "Move it to another place.")
    if not (_size(path, "-wal") or _size(path, "-journal")):
        return
    if _awaits_rollback(path):
        # A transaction was interrupted. SQLite repairs that by writing: use a copy.
        with temporary_folder() as folder:
            for file in (path, *companions(path)):
                shutil.copyfile(file, folder / file.name)
            _check_fit(folder / path.name, "?mode=rw")
    else:
        _check_fit(path, "?mode=ro")


def _awaits_rollback(path: Path) -> bool:
    # A journal also exists while another program writes without a log. That one can be
    # ignored; a copy of it would mix two states.
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
        # SQLite has no error name for "no such table".
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
    """Whether the ids of the journal entries and parts have no gaps."""
    # Ids grow by one, except that a restored snapshot may skip some.
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
    """Run SQLite's quick check for one second; return "ok" or the first fault."""
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
    """Return SQLite's name for an error, or "" if it has none."""
    return str(getattr(error, "sqlite_errorname", ""))


def put_companions_aside(path: Path) -> None:
    """Rename the logs of a deleted database so that a new one does not read them.

    Raises
    ------
    FileExistsError
        If the database exists: the logs belong to it.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    found = [(file, file.stat().st_ino) for file in companions(path)]
    # Listed first: logs that another program creates now have other inode numbers.
    if path.exists():
        raise FileExistsError(path)
    for leftover, number in found:
        if leftover.exists() and leftover.stat().st_ino == number:
            leftover.rename(leftover.with_name(f"{leftover.name}.old-{stamp}"))


def companions(path: Path) -> list[Path]:
    """Return the write-ahead log and journal beside a database."""
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
    """Return the tables and indexes of the current format."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(schema_script())
        return find_items(connection)
    finally:
        connection.close()
