"""Import labels: from tables, windows, and brackets in file names."""

from dataclasses import dataclass
from dataclasses import replace as replaced
from pathlib import Path
from typing import Literal, get_args

from segmix_core.errors import ProjectError
from segmix_core.project.import_draft import ImportContent
from segmix_core.project.importers.brackets import (
    bracket_digits,
    bracket_notes,
    image_files,
    parse_brackets,
)
from segmix_core.project.importers.image_labels import plan_image_labels
from segmix_core.project.importers.label_rows import (
    CLASS_PREFIXES,
    FILE_COLUMNS,
    LIST_COLUMNS,
    class_columns,
    has_boxes,
    parse_rows,
    unused_notes,
)
from segmix_core.project.importers.problems import Problems, printable
from segmix_core.project.importers.report import ImportReport, count_text
from segmix_core.project.importers.table_file import TableFile, read_table
from segmix_core.project.importers.windows import (
    check_windows,
    plan_windows,
    replaced_labels,
)
from segmix_core.project.matching import ClassMatcher
from segmix_core.project.store import ProjectStore

ImportKind = Literal["auto", "table", "windows", "brackets"]
_TABLES = ("labels.csv", "metadata.csv", "metadata.jsonl")


@dataclass(frozen=True, slots=True)
class _Choices:
    """Options of :func:`import_labels`."""

    preset: str | None
    source_id: int | None
    replace: bool
    keep: bool


def import_labels(
    store: ProjectStore,
    path: Path,
    *,
    kind: ImportKind = "auto",
    preset: str | None = None,
    source_id: int | None = None,
    replace: bool = False,
    keep: bool = False,
) -> ImportReport:
    """Set labels, splits and groups from a file or folder, as one change.

    Parameters
    ----------
    store
        The project. Images and classes are matched by
        :mod:`segmix_core.project.matching`.
    path
        A table (CSV or JSON lines; UTF-8, or UTF-16 with a byte order mark) or a
        folder.
    kind
        "table": one row an image or tile, with ``is_``/``has_``/``label_<class>``
        columns of 0, 1 and blank, or ``label``/``labels`` with names joined by ";".
        "windows": rows with x, y and size that become the tiles of their image, or
        label its tiles if all of them exist already.
        "brackets": a folder of files named like ``a[1001].png``, with ``preset``.
        "auto": decided by the columns of the table, or of the table in the folder.
    preset
        "bcss-wsss", "luad-histoseg" or "wsss4luad": the data set that defines the
        digits.
    source_id
        Look in this source only.
    replace
        Let windows replace tiles with labels.
    keep
        Keep known labels; only set unknown ones.

    Returns
    -------
    ImportReport
        What was imported. A blank cell leaves the label in the project as it is.

    Raises
    ------
    ProjectError
        If anything in the file does not match the project; nothing is stored then.
    """
    path = Path(path)
    if kind not in get_args(ImportKind):
        raise ValueError(f"kind is {kind!r}, not one of {get_args(ImportKind)}")
    if keep and replace:
        raise ProjectError(
            "Keep and replace cannot be combined.",
            "Choose one of them.",
        )
    if kind == "auto" and path.is_dir():
        kind, path = _in_folder(path, preset)
    table = None
    if kind != "brackets":
        table = read_table(path)
        kind = _checked_kind(table, kind)
    choices = _Choices(preset, source_id, replace, keep)
    revision = store.revision
    content, report = _plan(store, kind, path, table, choices)
    with store.atomic():
        # Transactions block other programs, so plan again inside only if the project
        # has changed meanwhile.
        if store.revision != revision:
            content, report = _plan(store, kind, path, table, choices)
        store.record_import(content)
    return report


def _plan(
    store: ProjectStore,
    kind: ImportKind,
    path: Path,
    table: TableFile | None,
    choices: _Choices,
) -> tuple[ImportContent, ImportReport]:
    problems = Problems(path.name)
    classes = ClassMatcher(store.classes())
    images, tiles = store.images(choices.source_id), store.tiles(choices.source_id)
    if table is None:
        rows = parse_brackets(path, choices.preset, images, classes, problems)
        notes = bracket_notes(path)
    else:
        rows = parse_rows(table, images, classes, problems)
        notes = unused_notes(table) + _order_notes(
            path.with_name("classes.csv"), classes
        )
    problems.raise_if_any()
    if not rows:
        raise ProjectError(
            f"{printable(path.name)} has no labels.",
            "Choose another file or kind of import.",
        )
    if kind == "windows":
        check_windows(rows, store.sources(), problems)
        content, report = plan_windows(
            rows,
            images,
            tiles,
            path.name,
            problems,
            replace=choices.replace,
            keep=choices.keep,
        )
        hidden = replaced_labels(content, images, tiles, replace=choices.replace)
        report = replaced(report, overturned=report.overturned + hidden)
        if hidden:
            notes.append(
                f"Windows replaced {count_text(hidden, 'known label')}. Use Undo to "
                "restore them."
            )
    else:
        content, report = plan_image_labels(
            rows, images, tiles, path.name, problems, keep=choices.keep
        )
    return content, replaced(report, notes=(*notes, *report.notes))


def _in_folder(folder: Path, preset: str | None) -> tuple[ImportKind, Path]:
    tables = [folder / name for name in _TABLES if (folder / name).is_file()]
    if len(tables) == 1:
        return "table", tables[0]
    if not tables and (
        preset or any(bracket_digits(file.name) for file in image_files(folder))
    ):
        return "brackets", folder
    name = printable(folder.name)
    if tables:
        raise ProjectError(
            f"The folder {name} contains "
            f"{' and '.join(table.name for table in tables)}.",
            "Choose the table to import.",
        )
    raise ProjectError(
        f"The folder {name} contains no table ({', '.join(_TABLES)}) and no file "
        "names with digits in brackets.",
        "Choose the table to import.",
    )


def _checked_kind(table: TableFile, kind: ImportKind) -> ImportKind:
    name = printable(table.name)
    if not table.column(*FILE_COLUMNS):
        raise ProjectError(
            f"{name} has no column with file names.",
            f"Name the column one of {', '.join(FILE_COLUMNS)}. Nothing was imported.",
        )
    if not class_columns(table) and not table.column(*LIST_COLUMNS):
        prefixes = ", ".join(f"{prefix}<class>" for prefix in CLASS_PREFIXES)
        raise ProjectError(
            f"{name} has no column with labels.",
            f"Name the columns {prefixes} or {LIST_COLUMNS[0]}. Nothing was imported.",
        )
    if kind == "windows" and not has_boxes(table):
        raise ProjectError(
            f"{name} has no columns x and y, which windows need.",
            "Add them, or import the file as a table of whole images.",
        )
    if kind == "auto":
        is_windows = has_boxes(table) and table.column("size") is not None
        return "windows" if is_windows else "table"
    return kind


def _order_notes(path: Path, classes: ClassMatcher) -> list[str]:
    """Return a note if classes.csv beside the table numbers classes differently."""
    if not path.is_file():
        return []
    try:
        table = read_table(path)
    except ProjectError as error:
        return [f"{error.message} Its class order was not checked."]
    if not {"mask_value", "class_name"} <= set(table.columns):
        return []
    differing = [
        f"{printable(row.cells['class_name'])} {printable(row.cells['mask_value'])}, "
        f"but {column + 1} in the project"
        for row in table.rows
        if (column := classes.find(row.cells["class_name"]).item) is not None
        and row.cells["mask_value"] != str(column + 1)
    ]
    if not differing:
        return []
    return [
        f"{path.name} numbers {count_text(len(differing), 'class', 'classes')} "
        f"differently ({differing[0]}). Its masks do not match this project without "
        "renumbering."
    ]
