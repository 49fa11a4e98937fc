"""Labels for tiles that already exist in the project."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmix_core.project.import_draft import ImportContent
from segmix_core.project.importers.label_rows import LabelRow
from segmix_core.project.importers.problems import Problems, printable
from segmix_core.project.importers.report import (
    ImportReport,
    count_text,
    general_notes,
    image_texts,
    plausibility_notes,
)
from segmix_core.project.records import KEEP, ImageRecord, TileTable


@dataclass(frozen=True, slots=True, eq=False)
class PlacedLabels:
    """Labels of (n,) tiles, and the changes they make.

    Attributes
    ----------
    tile_ids, states
        As in :class:`ImportContent`.
    labels, overturned, kept
        As in :class:`ImportReport`.
    notes
        Sentences about labels that were known.
    """

    tile_ids: npt.NDArray[np.int64]
    states: npt.NDArray[np.int8]
    labels: int
    overturned: int
    kept: int
    notes: tuple[str, ...]


def plan_image_labels(
    rows: Sequence[LabelRow],
    images: Sequence[ImageRecord],
    tiles: TileTable,
    source_name: str,
    problems: Problems,
    *,
    keep: bool = False,
) -> tuple[ImportContent, ImportReport]:
    """Return what to store for ``rows`` and the report of it.

    A row without a box refers to the only tile of its image. Classes without a value in
    a row keep their label in the project; with ``keep``, every known label stays.
    """
    splits = image_texts(rows, "split", problems)
    groups = image_texts(rows, "group", problems)
    placed = place_labels(rows, tiles, problems, keep=keep)
    content = ImportContent(
        f"Imported labels of {len(rows)} tiles from {printable(source_name)}",
        placed.tile_ids,
        placed.states,
        splits,
        groups,
    )
    wanted = np.array([row.states for row in rows], np.int8)
    notes = [
        *placed.notes,
        *general_notes(rows, images, splits, groups),
        *plausibility_notes(wanted),
    ]
    report = ImportReport(
        images=len({row.image.id for row in rows}),
        tiles=len(rows),
        labels=placed.labels,
        overturned=placed.overturned,
        kept=placed.kept,
        notes=tuple(notes),
    )
    return content, report


def place_labels(
    rows: Sequence[LabelRow], tiles: TileTable, problems: Problems, *, keep: bool
) -> PlacedLabels:
    """Match rows to tiles and return the labels to store.

    Raises
    ------
    ProjectError
        If there are any ``problems``, or a row matches no tile or several.
    """
    places = _tile_positions(rows, tiles, problems)
    problems.raise_if_any()
    positions = np.array(places, np.int64)
    now = tiles.labels[positions]
    wanted = np.array([row.states for row in rows], np.int8).reshape(now.shape)
    differs = (wanted >= 0) & (now >= 0) & (wanted != now)
    used = (wanted >= 0) & ~(keep & (now >= 0))
    number = int(differs.sum())
    return PlacedLabels(
        tiles.ids[positions],
        np.where(used, wanted, KEEP).astype(np.int8),
        labels=int(used.sum()),
        overturned=0 if keep else number,
        kept=number if keep else 0,
        notes=tuple(_difference_notes(rows, differs, keep)),
    )


def _difference_notes(
    rows: Sequence[LabelRow], differs: npt.NDArray[np.bool_], keep: bool
) -> list[str]:
    if not differs.any():
        return []
    row = rows[int(np.flatnonzero(differs.any(1))[0])]
    first = f"such as {row.place} ({printable(row.image.path.name)})"
    number = count_text(int(differs.sum()), "known label")
    if keep:
        return [
            f"{number} differed from the file and kept the existing value, {first}."
        ]
    return [
        f"{number} changed to the opposite, {first}. Use Undo to restore them, or "
        "import with --keep to keep existing labels."
    ]


def _tile_positions(
    rows: Sequence[LabelRow], tiles: TileTable, problems: Problems
) -> list[int]:
    by_image: dict[int, list[int]] = {}
    for position, image_id in enumerate(tiles.image_ids.tolist()):
        by_image.setdefault(image_id, []).append(position)
    # Windows of different sizes may share a corner.
    corners: dict[tuple[int, ...], list[int]] = {}
    keys = np.column_stack((tiles.image_ids, tiles.boxes[:, :2])).tolist()
    for position, key in enumerate(keys):
        corners.setdefault(tuple(key), []).append(position)
    places: list[int] = []
    used: set[int] = set()
    for row in rows:
        place = _position(row, by_image, corners, tiles, problems)
        if place is None:
            continue
        if place in used:
            name = printable(row.image.path.name)
            problems.add("duplicate rows", f"{row.place}: {name}")
        used.add(place)
        places.append(place)
    return places


def _position(
    row: LabelRow,
    by_image: dict[int, list[int]],
    corners: dict[tuple[int, ...], list[int]],
    tiles: TileTable,
    problems: Problems,
) -> int | None:
    name = printable(row.image.path.name)
    if row.box is None:
        positions = by_image.get(row.image.id, [])
        if len(positions) == 1:
            return positions[0]
        kind = "images with several tiles need x and y in each row"
        problems.add(kind, f"{row.place}: {name}")
        return None
    size = (row.box.height, row.box.width)
    positions = [
        position
        for position in corners.get((row.image.id, row.box.y, row.box.x), [])
        if size in ((0, 0), tuple(tiles.boxes[position, 2:].tolist()))
    ]
    if len(positions) == 1:
        return positions[0]
    kind = (
        "positions that match several tiles need width and height"
        if positions
        else "tiles not in the project"
    )
    problems.add(kind, f"{row.place}: {name} at x {row.box.x}, y {row.box.y}")
    return None
