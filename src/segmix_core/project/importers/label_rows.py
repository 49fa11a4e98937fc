"""Rows of a label table as values: image, tile box, states, split and group."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box
from segmix_core.project.importers.matching import ClassMatcher, ImageMatcher
from segmix_core.project.importers.problems import Problems
from segmix_core.project.importers.table_file import TableFile, TableRow
from segmix_core.project.records import ImageRecord, LabelState
from segmix_core.project.splits import split_name

FILE_COLUMNS = ("filename", "file_name", "file", "image", "path", "slide", "wsi")
CLASS_PREFIXES = ("is_", "has_", "label_")
LIST_COLUMNS = ("labels", "label")
_SPLIT_COLUMNS = ("split", "subset", "set")
_GROUP_COLUMNS = ("group", "patient_id", "patient", "case_id", "case", "slide_id")
_X, _Y = ("x", "minx", "loc_x"), ("y", "miny", "loc_y")

_STATES = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "present"), LabelState.PRESENT),
    **dict.fromkeys(("0", "0.0", "false", "no", "absent"), LabelState.ABSENT),
    **dict.fromkeys(("", "-1", "-1.0", "nan", "na", "unknown"), LabelState.UNKNOWN),
}


@dataclass(frozen=True, slots=True, eq=False)
class LabelRow:
    """What a row says of an image, or of the tile at ``box`` (level-0 pixels).

    ``states`` is (C,) int8; UNKNOWN where the row says nothing. The height and width of
    ``box`` are 0 where the table gives no size.
    """

    place: str
    image: ImageRecord
    states: npt.NDArray[np.int8]
    split: str | None
    group: str | None
    box: Box | None


def has_boxes(table: TableFile) -> bool:
    """Return whether the rows are about parts of images."""
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
    """Return the rows that are right; note what is wrong with the others."""
    matcher, reader = ImageMatcher(images), _StateReader(table, classes, problems)
    rows = []
    for row in table.rows:
        image = matcher.find(_cell(table, row, FILE_COLUMNS) or "", problems)
        states, box = reader.states(row), _box(table, row, problems)
        split = _split(table, row, problems)
        if image is not None:
            _check_size(table, row, image, problems)
            group = _cell(table, row, _GROUP_COLUMNS) or None
            rows.append(LabelRow(row.place, image, states, split, group, box))
    return rows


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
            if index is not None:
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
                self._problems.add("wrong numbers", f"{row.place}: {name} is {text!r}")
            else:
                states[index] = state
        listed = row.cells.get(self._list_column, "") if self._list_column else ""
        if listed:
            # A list is complete: what it does not name is not there.
            states[:] = LabelState.ABSENT
            for text in listed.split(";"):
                index_or_none = self._index(text.strip())
                if index_or_none is not None:
                    states[index_or_none] = LabelState.PRESENT
        return states

    def _index(self, name: str) -> int | None:
        index = self._classes.column(name)
        if index is None and name not in self._unknown:
            self._unknown.add(name)
            self._problems.add("unknown classes", name)
        return index


def _cell(table: TableFile, row: TableRow, names: Sequence[str]) -> str | None:
    column = table.column(*names)
    return None if column is None else row.cells.get(column, "")


def _split(table: TableFile, row: TableRow, problems: Problems) -> str | None:
    text = _cell(table, row, _SPLIT_COLUMNS)
    if not text:
        return None
    split = split_name(text)
    if split is None:
        problems.add("splits other than train, val and test", f"{row.place}: {text}")
    return split


def _box(table: TableFile, row: TableRow, problems: Problems) -> Box | None:
    if not has_boxes(table):
        return None
    x, y = _number(table, row, _X, problems), _number(table, row, _Y, problems)
    size = _number(table, row, ("size",), problems) or 0
    height = _number(table, row, ("height",), problems) or size
    width = _number(table, row, ("width",), problems) or size
    if x is None or y is None:
        return None
    return Box(y, x, height, width)


def _check_size(
    table: TableFile, row: TableRow, image: ImageRecord, problems: Problems
) -> None:
    # Beside x and y they are the size of a tile.
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
    text = _cell(table, row, names)
    if not text:
        return None
    try:
        value = float(text)
        if value < 0 or value != int(value):
            raise ValueError(text)
        return int(value)
    except (ValueError, OverflowError):
        name = table.column(*names)
        problems.add("wrong numbers", f"{row.place}: {name} is {text!r}")
        return None
