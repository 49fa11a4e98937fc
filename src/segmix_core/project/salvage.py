"""Read as many rows of a damaged database as possible."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]
_MAX_MISSES = 20_000
"""A table counts as finished after this many unreadable ids in a row."""


@dataclass(slots=True)
class Table:
    """The rows of one table that could be read.

    Attributes
    ----------
    rows
        Columns by name, in the order of their ids.
    is_whole
        Whether every row could be read.
    """

    rows: list[Row] = field(default_factory=list)
    is_whole: bool = True


def read_table(
    connection: sqlite3.Connection, name: str, columns: Sequence[str]
) -> Table:
    """Read ``columns`` of a table, leaving out rows in damaged pages.

    If a column is missing, no row is returned.
    """
    table, last = Table(), 0
    query = f"SELECT rowid, {', '.join(columns)} FROM {name}"
    try:
        for key, row in _rows(connection, f"{query} ORDER BY rowid"):
            table.rows.append(row)
            last = key
    except sqlite3.Error:
        table.is_whole = False
    if not table.is_whole:
        table.rows += _after(connection, query, last)
    return table


def _after(connection: sqlite3.Connection, query: str, last: int) -> list[Row]:
    """Read the rows after an id one by one; each lookup may use other pages."""
    found: list[Row] = []
    key = misses = 0
    while misses < _MAX_MISSES:
        key, misses = key + 1, misses + 1
        for row in _one(connection, query, last + key):
            found.append(row)
            misses = 0
    return found


def _one(connection: sqlite3.Connection, query: str, key: int) -> list[Row]:
    try:
        return [row for _, row in _rows(connection, f"{query} WHERE rowid = {key}")]
    except sqlite3.Error:
        return []


def _rows(connection: sqlite3.Connection, query: str) -> Iterator[tuple[int, Row]]:
    cursor = connection.execute(query)
    columns = [entry[0] for entry in cursor.description][1:]
    for key, *values in cursor:
        yield int(key), dict(zip(columns, values, strict=True))
