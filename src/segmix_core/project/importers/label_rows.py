"""Rows of a label table as values: image, tile box, states, split and group."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box
from segmix_core.project.importers.problems import Problems, printable
from segmix_core.project.importers.table_file import TableFile, TableRow
from segmix_core.project.matching import ClassMatcher, ImageMatcher, shortest_paths
from segmix_core.project.records import SPLITS, ImageRecord, LabelState

FILE_COLUMNS = ("filename", "file_name", "file", "image", "path", "slide", "wsi")
CLASS_PREFIXES = ("is_", "has_", "label_")
LIST_COLUMNS = ("labels", "label")
_SPLIT_COLUMNS = ("split", "subset", "set")
_GROUP_COLUMNS = ("group", "patient_id", "patient", "case_id", "case", "slide_id")
_X, _Y = ("x", "minx", "loc_x"), ("y", "miny", "loc_y")
_ALIASES = {
    "image names": FILE_COLUMNS,
    "splits": _SPLIT_COLUMNS,
    "groups": _GROUP_COLUMNS,
    "x positions": _X,
    "y positions": _Y,
}
"""Column names for the same thing; the first one found is read."""
# Pandas writes 32.0 in a column with a blank cell. No coordinate or size has more than
# nine digits.
_WHOLE_NUMBER = re.compile(r"\+?[0-9]{1,9}(\.0*)?")
NO_CORNER = "rows without x and y"
"""The kind of problem for a window without a position."""

_STATES = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "present"), LabelState.PRESENT),
    **dict.fromkeys(("0", "0.0", "false", "no", "absent"), LabelState.ABSENT),
    **dict.fromkeys(("", "-1", "-1.0", "nan", "na", "unknown"), LabelState.UNKNOWN),
}


@dataclass(frozen=True, slots=True, eq=False)
class LabelRow:
    """The labels of an image, or of the tile at ``box`` (level-0 pixels).

    ``states`` is (C,) int8; UNKNOWN where the row has no value. The height and width of
    ``box`` are 0 if the table gives no size.
    """

    place: str
    image: ImageRecord
    states: npt.NDArray[np.int8]
    split: str | None
    group: str | None
    box: Box | None


def has_boxes(table: TableFile) -> bool:
    """Return whether the rows refer to parts of images."""
    return bool(table.column(*_X) and table.column(*_Y))


def class_columns(table: TableFile) -> tuple[str, ...]:
    """Return the columns that hold the state of one class each."""
    return tuple(name for name in table.columns if name.startswith(CLASS_PREFIXES))


def parse_rows(
    table: TableFile,
    images: Sequence[ImageRecord],
    classes: ClassMatcher,
    problems: Problems,
) -> list[LabelRow]:
    """Return the valid rows; report problems with the others."""
    matcher, reader = ImageMatcher(images), _StateReader(table, classes, problems)
    rows = []
    for row in table.rows:
        text = _cell(table, row, FILE_COLUMNS) or ""
        image = find_image(matcher, text, row.place, problems)
        states, box = reader.states(row), _box(table, row, problems)
        split = _split(table, row, problems)
        if image is not None:
            _check_size(table, row, image, problems)
            group = _cell(table, row, _GROUP_COLUMNS) or None
            rows.append(LabelRow(row.place, image, states, split, group, box))
    return rows


def find_image(
    matcher: ImageMatcher, text: str, place: str, problems: Problems
) -> ImageRecord | None:
    """Find the image named ``text``; report a problem and return None if it fails.

    ``place`` is the line in the file, or "" if ``text`` is itself a file name.
    """
    match = matcher.find(text)
    if match.item is not None:
        return match.item
    name = printable(text) or "no name"
    example = f"{place}: {name}" if place else name
    paths = shortest_paths([image.path for image in match.candidates])
    candidates = printable(paths, max_length=240)
    if match.is_ambiguous:
        problems.add(
            "names that match several images", f"{example} matches {candidates}"
        )
    elif candidates:
        kind = "files in a different folder than in the project"
        problems.add(kind, f"{example} is not {candidates}")
    else:
        problems.add("files not in the project", example)
    return None


def unused_notes(table: TableFile) -> list[str]:
    """Return a note for each column that is ignored in favor of another."""
    return _unused_labels(table) + [
        f"The column {printable(name)} was ignored; {content} are read from {used}."
        for content, known in _ALIASES.items()
        for used, *others in [[name for name in known if name in table.columns] or [""]]
        for name in others
    ]


def _unused_labels(table: TableFile) -> list[str]:
    lists = [name for name in LIST_COLUMNS if name in table.columns]
    unused = lists if class_columns(table) else lists[1:]
    if not unused:
        return []
    used = class_columns(table)[0] if class_columns(table) else lists[0]
    return [f"The column {unused[0]} was ignored; labels are read from {used}."]


class _StateReader:
    def __init__(
        self, table: TableFile, classes: ClassMatcher, problems: Problems
    ) -> None:
        self._classes, self._problems = classes, problems
        self._unknown: set[str] = set()
        self._columns: dict[str, int] = {}
        for name in class_columns(table):
            prefix = next(p for p in CLASS_PREFIXES if name.startswith(p))
            index = self._index(name.removeprefix(prefix))
            if index is None:
                continue
            if index in self._columns.values():
                problems.add("more than one column for a class", printable(name))
            self._columns[name] = index
        self._list_column = (
            None if class_columns(table) else table.column(*LIST_COLUMNS)
        )

    def states(self, row: TableRow) -> npt.NDArray[np.int8]:
        states = np.full(len(self._classes.names), LabelState.UNKNOWN, np.int8)
        for name, index in self._columns.items():
            text = row.cells.get(name, "")
            state = _STATES.get(text.lower())
            if state is None:
                _add_number(self._problems, row, name, text)
            else:
                states[index] = state
        listed = row.cells.get(self._list_column, "") if self._list_column else ""
        if listed:
            # A list is complete: classes it does not name are absent.
            states[:] = LabelState.ABSENT
            for text in listed.split(";"):
                index_or_none = self._index(text.strip())
                if index_or_none is not None:
                    states[index_or_none] = LabelState.PRESENT
        return states

    def _index(self, name: str) -> int | None:
        match = self._classes.find(name)
        if match.item is None and name not in self._unknown:
            self._unknown.add(name)
            others = " or ".join(self._classes.names[i] for i in match.candidates)
            if match.is_ambiguous:
                kind, link = "names that match several classes", "matches"
            else:
                kind, link = "unknown classes", "is not"
            example = printable(name)
            problem = f"{example} {link} {others}" if others else example
            self._problems.add(kind, problem)
        return match.item


def split_name(text: str) -> str | None:
    """Return "train", "val" or "test" for the spellings in use, None for others."""
    text = text.strip().casefold()
    spellings = {
        "training": "train",
        "valid": "val",
        "validation": "val",
        "dev": "val",
        "testing": "test",
    }
    name = spellings.get(text, text)
    return name if name in SPLITS else None


def _cell(table: TableFile, row: TableRow, names: Sequence[str]) -> str | None:
    column = table.column(*names)
    return None if column is None else row.cells.get(column, "")


def _split(table: TableFile, row: TableRow, problems: Problems) -> str | None:
    text = _cell(table, row, _SPLIT_COLUMNS)
    if not text:
        return None
    split = split_name(text)
    if split is None:
        kind = "splits other than train, val and test"
        problems.add(kind, f"{row.place}: {printable(text)}")
    return split


def _box(table: TableFile, row: TableRow, problems: Problems) -> Box | None:
    if not has_boxes(table):
        return None
    x, y = _number(table, row, _X, problems), _number(table, row, _Y, problems)
    size = _number(table, row, ("size",), problems) or 0
    height = _number(table, row, ("height",), problems) or size
    width = _number(table, row, ("width",), problems) or size
    if bool(_cell(table, row, _X)) != bool(_cell(table, row, _Y)):
        problems.add(NO_CORNER, row.place)
    if x is None or y is None:
        return None
    return Box(y, x, height, width)


def _check_size(
    table: TableFile, row: TableRow, image: ImageRecord, problems: Problems
) -> None:
    # In a row with x and y they are the size of the tile.
    if has_boxes(table):
        return
    for name, actual in (("height", image.height), ("width", image.width)):
        value = _number(table, row, (name,), problems)
        if value is not None and value != actual:
            problems.add(
                "image sizes that differ", f"{row.place}: {name} {value}, not {actual}"
            )


def _number(
    table: TableFile, row: TableRow, names: Sequence[str], problems: Problems
) -> int | None:
    column = table.column(*names)
    text = row.cells.get(column, "") if column else ""
    if not text:
        return None
    if not _WHOLE_NUMBER.fullmatch(text):
        _add_number(problems, row, str(column), text)
        return None
    return int(text.partition(".")[0])


def _add_number(problems: Problems, row: TableRow, column: str, text: str) -> None:
    problems.add(
        "wrong numbers", f"{row.place}: {printable(column)} is '{printable(text)}'"
    )
