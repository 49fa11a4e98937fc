"""Tables in the files people have: CSV with "," ";" or tabs, or JSON lines."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from segmix_core.errors import ProjectError

_DELIMITERS = ",;\t"
_MAX_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row: where it is in the file, and its text by column name."""

    place: str
    cells: dict[str, str]


@dataclass(frozen=True, slots=True)
class TableFile:
    """The columns of a file, in lower case and without outer spaces, and its rows."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]

    def column(self, *names: str) -> str | None:
        """Return the first of ``names`` that the table has."""
        return next((name for name in names if name in self.columns), None)


def read_table(path: Path) -> TableFile:
    """Read ``path``, UTF-8 with or without byte order mark.

    Raises
    ------
    ProjectError
        If it cannot be read as a table with at least one row.
    """
    if not path.is_file():
        raise ProjectError.unexpected(
            f"a table in {path}", "no file there", "Choose an existing file."
        )
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _unreadable(path, f"more than {_MAX_BYTES >> 20} MB")
        text = path.read_text(encoding="utf-8-sig")
        is_json = path.suffix.lower() == ".jsonl"
        table = (_from_json_lines if is_json else _from_csv)(path.name, text)
    except (OSError, ValueError, csv.Error) as error:
        raise _unreadable(path, str(error)) from error
    if not table.rows:
        raise _unreadable(path, "a table without rows")
    return table


def _from_csv(name: str, text: str) -> TableFile:
    header = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=header.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter, strict=True)
    columns = tuple(cell.strip().lower() for cell in next(reader, []))
    doubles = {column for column in columns if columns.count(column) > 1}
    if doubles - {""}:
        raise ValueError(f"the column {min(doubles - {''})} twice")
    rows = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(columns):
            raise ValueError(
                f"{len(cells)} cells in line {reader.line_num}, {len(columns)} columns"
            )
        content = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
        rows.append(TableRow(f"line {reader.line_num}", content))
    return TableFile(name, columns, tuple(rows))


def _from_json_lines(name: str, text: str) -> TableFile:
    rows = []
    columns: dict[str, None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        content = json.loads(line)
        if not isinstance(content, dict):
            raise ValueError(f"no object in line {number}")
        cells = {str(key).strip().lower(): _text(v) for key, v in content.items()}
        columns |= dict.fromkeys(cells)
        rows.append(TableRow(f"line {number}", cells))
    return TableFile(name, tuple(columns), tuple(rows))


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ";".join(str(entry) for entry in value)
    return str(value).strip()


def _unreadable(path: Path, reason: str) -> ProjectError:
    return ProjectError.unexpected(
        f"a table in {path}",
        reason,
        "Save it as CSV in UTF-8 with a line of column names; nothing was imported.",
    )
