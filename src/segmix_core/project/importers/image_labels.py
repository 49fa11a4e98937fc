"""Labels of tiles that the project has already."""

from collections.abc import Sequence

import numpy as np

from segmix_core.project.import_draft import ImportContent
from segmix_core.project.importers.label_rows import LabelRow
from segmix_core.project.importers.problems import Problems
from segmix_core.project.importers.report import (
    ImportReport,
    count_known,
    general_notes,
    image_texts,
)
from segmix_core.project.records import ImageRecord, TileTable


def plan_image_labels(
    rows: Sequence[LabelRow],
    images: Sequence[ImageRecord],
    tiles: TileTable,
    source_name: str,
    problems: Problems,
) -> tuple[ImportContent, ImportReport]:
    """Return what to store for ``rows`` and the report of it.

    A row without a box is about the only tile of its image. Where a row says nothing
    of a class, the label in the project stays.
    """
    places = _tile_positions(rows, tiles, problems)
    splits, conflicts = image_texts(rows, "split")
    groups, _ = image_texts(rows, "group")
    for name in conflicts:
        problems.add("images with several splits", name)
    problems.raise_if_any()
    positions = np.array(places, np.int64)
    now = tiles.labels[positions]
    said = np.array([row.states for row in rows], np.int8).reshape(now.shape)
    content = ImportContent(
        f"Imported labels of {len(rows)} tiles from {source_name}",
        tiles.ids[positions],
        np.where(said >= 0, said, now),
        splits,
        groups,
    )
    report = ImportReport(
        images=len({row.image.id for row in rows}),
        tiles=len(rows),
        labels=count_known(said),
        notes=tuple(general_notes(rows, images, splits, groups)),
    )
    return content, report


def _tile_positions(
    rows: Sequence[LabelRow], tiles: TileTable, problems: Problems
) -> list[int]:
    by_image: dict[int, list[int]] = {}
    for position, image_id in enumerate(tiles.image_ids.tolist()):
        by_image.setdefault(image_id, []).append(position)
    corners = {
        (int(image_id), int(y), int(x)): position
        for position, (image_id, (y, x, _, _)) in enumerate(
            zip(tiles.image_ids, tiles.boxes, strict=True)
        )
    }
    places: list[int] = []
    used: set[int] = set()
    for row in rows:
        place = _position(row, by_image, corners, tiles, problems)
        if place is None:
            continue
        if place in used:
            problems.add("duplicate rows", f"{row.place}: {row.image.path.name}")
        used.add(place)
        places.append(place)
    return places


def _position(
    row: LabelRow,
    by_image: dict[int, list[int]],
    corners: dict[tuple[int, int, int], int],
    tiles: TileTable,
    problems: Problems,
) -> int | None:
    name = row.image.path.name
    if row.box is None:
        positions = by_image.get(row.image.id, [])
        if len(positions) == 1:
            return positions[0]
        problems.add("files with several tiles and a row without x and y", name)
        return None
    position = corners.get((row.image.id, row.box.y, row.box.x))
    size = (row.box.height, row.box.width)
    if position is None or size not in ((0, 0), tuple(tiles.boxes[position, 2:])):
        place = f"{row.place}: {name} at x {row.box.x}, y {row.box.y}"
        problems.add("tiles that are not in the project", place)
        return None
    return position
