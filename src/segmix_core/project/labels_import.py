"""Labels from files of others: tables, windows, and brackets in file names."""

from pathlib import Path
from typing import Literal, get_args

from segmix_core.errors import ProjectError
from segmix_core.project.import_draft import ImportContent
from segmix_core.project.importers.brackets import (
    bracket_digits,
    image_files,
    parse_brackets,
)
from segmix_core.project.importers.image_labels import plan_image_labels
from segmix_core.project.importers.label_rows import (
    CLASS_PREFIXES,
    FILE_COLUMNS,
    LIST_COLUMNS,
    LabelRow,
    class_columns,
    has_boxes,
    parse_rows,
)
from segmix_core.project.importers.matching import ClassMatcher, plain
from segmix_core.project.importers.problems import Problems
from segmix_core.project.importers.report import ImportReport
from segmix_core.project.importers.table_file import TableFile, read_table
from segmix_core.project.importers.windows import check_replaceable, plan_windows
from segmix_core.project.store import ProjectStore

ImportKind = Literal["auto", "table", "windows", "brackets"]
_TABLES = ("labels.csv", "metadata.csv", "metadata.jsonl")


def import_labels(
    store: ProjectStore,
    path: Path,
    *,
    kind: ImportKind = "auto",
    preset: str | None = None,
    source_id: int | None = None,
    replace: bool = False,
) -> ImportReport:
    """Set labels, splits and groups from a file or folder, as one change.

    Parameters
    ----------
    store
        Images are found by file name, or by the name without ending if that is unique.
    path
        A table (CSV or JSON lines, UTF-8) or a folder.
    kind
        "table": one row an image or tile, with ``is_``/``has_``/``label_<class>``
        columns of 0, 1 and blank, or ``label``/``labels`` with names joined by ";".
        "windows": rows with x, y and size that become the tiles of their image.
        "brackets": a folder of files named like ``a[1001].png``, with ``preset``.
        "auto": by the columns; a folder by the table in it.
    preset
        "bcss-wsss", "luad-histoseg" or "wsss4luad": what the digits mean.
    source_id
        Look in this source only.
    replace
        Let windows take the place of tiles with labels.

    Returns
    -------
    ImportReport
        A blank cell leaves the label in the project as it is.

    Raises
    ------
    ProjectError
        If anything in the file does not fit; then nothing is stored.
    """
    path = Path(path)
    if kind not in get_args(ImportKind):
        raise ValueError(f"Expected one of {get_args(ImportKind)}, got {kind!r}")
    if kind == "auto" and path.is_dir():
        kind, path = _in_folder(path, preset)
    problems = Problems(path.name)
    classes = ClassMatcher(store.classes())
    images = store.images(source_id)
    notes: list[str] = []
    if kind == "brackets":
        rows = parse_brackets(path, preset, images, classes, problems)
    else:
        table = read_table(path)
        kind = _checked_kind(table, kind)
        rows = parse_rows(table, images, classes, problems)
        notes = _order_notes(path.with_name("classes.csv"), classes)
    content, report = _plan(store, kind, rows, path.name, problems, source_id, replace)
    store.record_import(content)
    return ImportReport(
        report.images, report.tiles, report.labels, (*notes, *report.notes)
    )


def _plan(
    store: ProjectStore,
    kind: ImportKind,
    rows: list[LabelRow],
    name: str,
    problems: Problems,
    source_id: int | None,
    replace: bool,
) -> tuple[ImportContent, ImportReport]:
    images, tiles = store.images(source_id), store.tiles(source_id)
    problems.raise_if_any()
    if not rows:
        raise ProjectError.unexpected(
            f"labels in {name}", "none", "Choose another file or kind of import."
        )
    if kind != "windows":
        return plan_image_labels(rows, images, tiles, name, problems)
    content, report = plan_windows(rows, images, store.sources(), name, problems)
    if not replace:
        check_replaceable(content, images, tiles)
    return content, report


def _in_folder(folder: Path, preset: str | None) -> tuple[ImportKind, Path]:
    tables = [folder / name for name in _TABLES if (folder / name).is_file()]
    if len(tables) == 1:
        return "table", tables[0]
    if not tables and (
        preset or any(bracket_digits(file.name) for file in image_files(folder))
    ):
        return "brackets", folder
    raise ProjectError.unexpected(
        f"one of {', '.join(_TABLES)} in {folder}, or names with brackets",
        f"{len(tables)} tables and no such names" if not tables else f"{len(tables)}",
        "Choose the table itself.",
    )


def _checked_kind(table: TableFile, kind: ImportKind) -> ImportKind:
    has_labels = bool(class_columns(table) or table.column(*LIST_COLUMNS))
    if not table.column(*FILE_COLUMNS) or not has_labels:
        raise ProjectError.unexpected(
            f"columns with the file ({', '.join(FILE_COLUMNS)}) and labels "
            f"({', '.join(f'{p}<class>' for p in CLASS_PREFIXES)}, labels) "
            f"in {table.name}",
            f"the columns {', '.join(table.columns)}",
            "Rename the columns; nothing was imported.",
        )
    if kind == "windows" and not has_boxes(table):
        raise ProjectError.unexpected(
            f"the columns x, y and size in {table.name}",
            f"the columns {', '.join(table.columns)}",
            "Add them, or import the file as a table of whole images.",
        )
    if kind == "auto":
        is_windows = has_boxes(table) and table.column("size") is not None
        return "windows" if is_windows else "table"
    return kind


def _order_notes(path: Path, classes: ClassMatcher) -> list[str]:
    """Return a sentence if classes.csv beside the table numbers classes otherwise."""
    if not path.is_file():
        return []
    table = read_table(path)
    if not {"mask_value", "class_name"} <= set(table.columns):
        return []
    differing = [
        f"{row.cells['class_name']} {row.cells['mask_value']}, here {column + 1}"
        for row in table.rows
        if (column := classes.column(plain(row.cells["class_name"]))) is not None
        and row.cells["mask_value"] != str(column + 1)
    ]
    if not differing:
        return []
    return [
        f"{path.name} numbers {len(differing)} classes differently "
        f"({differing[0]}): its masks do not fit this project as they are."
    ]
