"""Read tables: CSV with commas, semicolons, tabs or bars, or JSON lines."""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from segmix_core.disk_errors import reason_of
from segmix_core.errors import ProjectError
from segmix_core.project.importers.problems import printable

_DELIMITERS = ",;\t"
_SEPARATORS = f"{_DELIMITERS}|"
"""Separators that a "sep=" line can name; without one, a bar is text."""
# Excel writes and reads it; some programs quote it or pad the line.
_SEPARATOR_LINE = re.compile(r'\s*"?sep=(?P<sign>.?)(?P<rest>.*)', re.IGNORECASE)
# A column may be called "#".
_COMMENT = re.compile(rf'\s*"?#(?!"?\s*[{_DELIMITERS}])')
_MAX_BYTES = 256 * 2**20
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row: its place in the file, and its cells by column name."""

    place: str
    cells: dict[str, str]


@dataclass(frozen=True, slots=True)
class TableFile:
    """The column names, in lower case and stripped, and the rows of a file."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]

    def column(self, *names: str) -> str | None:
        """Return the first of ``names`` that the table has."""
        return next((name for name in names if name in self.columns), None)


class _NoTableError(Exception):
    """The content of a file is not a table; the message says why."""


def read_table(path: Path) -> TableFile:
    """Read ``path``: UTF-8, or UTF-16 with a byte order mark.

    Raises
    ------
    ProjectError
        If it cannot be read as a table with at least one row.
    """
    name = printable(path.name)
    if not path.is_file():
        raise ProjectError(f"{name} does not exist.", "Choose an existing file.")
    try:
        text = _text_of(path)
        is_json = path.suffix.lower() == ".jsonl"
        table = (_from_json_lines if is_json else _from_csv)(path.name, text)
        if not table.rows:
            raise _NoTableError("it has no rows")
    except (_NoTableError, OSError) as error:
        raise ProjectError(
            f"{name} cannot be read as a table: {reason_of(error)}.",
            "Save it as UTF-8 CSV with a header row. Nothing was imported.",
        ) from error
    return table


def _text_of(path: Path) -> str:
    if path.stat().st_size > _MAX_BYTES:
        raise _NoTableError(f"it has more than {_MAX_BYTES >> 20} MB")
    content = path.read_bytes()
    encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        kind = encoding.upper().removesuffix("-SIG")
        raise _NoTableError(f"line {line} is not {kind} text") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise _NoTableError(f"line {line} has a NUL character")
    return text


def _from_csv(name: str, text: str) -> TableFile:
    first, sign = _preamble(text)
    rows = _csv_rows(text, sign or _delimiter(text, first), first)
    header, names = next(rows, (1, []))
    columns = tuple(_key(name) for name in names)
    _check_different(columns, header)
    found = []
    for line, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(columns):
            raise _NoTableError(
                f"line {line} has {len(cells)} cells for {len(columns)} columns"
            )
        content = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
        found.append(TableRow(f"line {line}", content))
    return TableFile(name, columns, tuple(found))


def _preamble(text: str) -> tuple[int, str | None]:
    """Return the number of lines before the header, and the separator they name.

    They are blank lines, comments after "#", and "sep=;" as Excel writes it.
    """
    number, sign = -1, None
    for number, line in enumerate(io.StringIO(text, newline=None)):
        found = _SEPARATOR_LINE.fullmatch(line.rstrip("\n"))
        if found and sign is None:
            sign = found["sign"]
            if sign not in tuple(_SEPARATORS) or found["rest"].strip('",; '):
                raise _NoTableError(
                    f"line {number + 1} does not name a comma, semicolon, tab or bar "
                    "as the separator"
                )
        elif line.strip() and not _COMMENT.match(line):
            return number, sign
    return number + 1, sign


def _delimiter(text: str, first: int) -> str:
    """Return the separator that splits the header into the most cells."""

    def count(delimiter: str) -> int:
        try:
            return len(next(_csv_rows(text, delimiter, first), (0, []))[1])
        except _NoTableError:
            return 0

    return max(_DELIMITERS, key=count)


def _csv_rows(text: str, delimiter: str, first: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and cells of each row; cells may contain newlines.

    Skips the ``first`` lines.
    """
    # newline=None accepts the line endings of all systems.
    lines = io.StringIO(text, newline=None)
    for _ in range(first):
        next(lines)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = first + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _NoTableError(f"line {line}: {printable(str(error))}") from error
        yield line, cells


def _from_json_lines(name: str, text: str) -> TableFile:
    rows = []
    columns: dict[str, None] = {}
    # Not splitlines(): it also splits at characters that JSON strings may contain.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            cells = _json_cells(line, number)
            columns |= dict.fromkeys(cells)
            rows.append(TableRow(f"line {number}", cells))
    return TableFile(name, tuple(columns), tuple(rows))


def _json_cells(line: str, number: int) -> dict[str, str]:
    try:
        # Pairs, because a dict silently keeps the last of two equal names.
        content = json.loads(line, object_pairs_hook=_Object)
        if not isinstance(content, _Object):
            raise _NoTableError(f"line {number} is not a JSON object")
        cells = [(_key(key), _text(value)) for key, value in content]
    except RecursionError as error:
        raise _NoTableError(f"line {number} is nested too deeply") from error
    except ValueError as error:
        raise _NoTableError(f"line {number} is not valid JSON ({error})") from error
    for text in (text for cell in cells for text in cell):
        if not _is_unicode(text):
            raise _NoTableError(
                f"line {number} has an incomplete character (a lone surrogate)"
            )
    _check_different([key for key, _ in cells], number)
    return dict(cells)


class _Object(list[tuple[str, object]]):
    """The pairs of a JSON object."""


def _key(cell: str) -> str:
    return cell.strip().lower()


def _check_different(columns: Iterable[str], line: int) -> None:
    seen: set[str] = set()
    for column in columns:
        if column and column in seen:
            raise _NoTableError(f"line {line} has the column {printable(column)} twice")
        seen.add(column)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list) and not isinstance(value, _Object):
        return ";".join(_text(entry) for entry in value)
    return str(value).strip()
