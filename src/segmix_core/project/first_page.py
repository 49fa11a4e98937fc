"""Replace the first page of a database, which says where all its tables are.

SegMix always creates its tables in the same order, so a new database has them at the
same pages. In a project converted from an older format they are elsewhere, but its
snapshots, being copies page by page, have them at the same place.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from segmix_core.project import opening

_TYPES = {"INTEGER": int, "REAL": float, "TEXT": str, "BLOB": bytes}
_SIZE_AT = 28
_WAL_MODE = b"\x02\x02"
_FREE_PAGES = bytes(8)


def is_damaged(path: Path) -> bool:
    """Whether the tables of a database are unknown, or its header is not SegMix's."""
    try:
        # Read-only: a writer would move the write-ahead log into the file.
        with closing(opening.connect(path, "?mode=ro")) as connection:
            found = opening.find_items(connection)
            marks = [
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("application_id", "user_version")
            ]
    except sqlite3.Error:
        return True
    is_ours = found == opening.expected_items()
    return not found or (is_ours and marks != [opening.APPLICATION_ID, opening.FORMAT])


def replace(path: Path, new: Path, snapshots: Iterable[Path]) -> bool:
    """Try first pages; keep the one with which most tables can be read.

    Parameters
    ----------
    path
        The damaged database, a private copy. Unchanged if no page fits.
    new
        A new, sound database.
    snapshots
        Older copies of the database. Unreadable ones are skipped.

    Returns
    -------
    bool
        Whether a page fits.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    best, most = _start(path, _page_size(new)), 0
    for page in _pages((*snapshots, new)):
        _write(path, page)
        fitting = _count_fitting(path)
        if fitting > most:
            best, most = _start(path, len(page)), fitting
    _write_start(path, best)
    return most > 0


def _pages(databases: Iterable[Path]) -> Iterator[bytes]:
    for database in databases:
        try:
            with closing(opening.connect(database, "?mode=ro&immutable=1")) as sound:
                if opening.find_items(sound) != opening.expected_items():
                    continue
        except sqlite3.Error:
            continue
        yield _start(database, _page_size(database))


def _start(database: Path, size: int) -> bytes:
    with database.open("rb") as file:
        return file.read(size)


def _page_size(database: Path) -> int:
    size = int.from_bytes(_start(database, 18)[16:], "big")
    # A value of 1 stands for 65,536.
    return 65536 if size == 1 else size


def _write(path: Path, page: bytes) -> None:
    pages = -(-path.stat().st_size // len(page))
    changed = bytearray(page)
    changed[18:20] = _WAL_MODE
    # The list of free pages is unknown, and a reader does not need it.
    changed[_SIZE_AT : _SIZE_AT + 12] = pages.to_bytes(4, "big") + _FREE_PAGES
    # SQLite trusts the size only if the two change counters agree.
    changed[92:96] = changed[24:28]
    _write_start(path, bytes(changed))


def _write_start(path: Path, start: bytes) -> None:
    with path.open("r+b") as file:
        file.write(start)


def _count_fitting(path: Path) -> int:
    """Count the tables whose first row has the right types; 0 if one does not."""
    count = 0
    with closing(opening.connect(path, "?mode=ro")) as connection:
        tables = [name for kind, name, _ in opening.expected_items() if kind == "table"]
        for table in tables:
            try:
                row = connection.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
            except sqlite3.Error:
                # This page may be damaged, too.
                continue
            if row is not None:
                if not _fits(connection, table, row):
                    return 0
                count += 1
    return count


def _fits(connection: sqlite3.Connection, table: str, row: opening.Row) -> bool:
    columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    for value, (_, _, kind, is_needed, _, is_key) in zip(row, columns, strict=True):
        if value is None:
            if is_needed or is_key:
                return False
        elif not isinstance(value, _TYPES[kind]):
            return False
    return True
