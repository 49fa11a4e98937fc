"""Labeled windows, which replace the tiles of images in folders."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from segmix_core.errors import ProjectError
from segmix_core.geometry import Box
from segmix_core.project.import_draft import ImportContent, NewWindows
from segmix_core.project.importers.image_labels import place_labels
from segmix_core.project.importers.label_rows import NO_CORNER, LabelRow
from segmix_core.project.importers.problems import Problems, printable
from segmix_core.project.importers.report import (
    ImportReport,
    count_known,
    count_text,
    general_notes,
    image_texts,
    plausibility_notes,
)
from segmix_core.project.records import (
    ImageRecord,
    Review,
    Source,
    SourceKind,
    TileTable,
)

_TILE_MULTIPLE = 16
"""Tile sizes are multiples of this, so that backbones with stride 16 fit."""


def plan_windows(
    rows: Sequence[LabelRow],
    images: Sequence[ImageRecord],
    tiles: TileTable,
    source_name: str,
    problems: Problems,
    *,
    replace: bool,
    keep: bool,
) -> tuple[ImportContent, ImportReport]:
    """Return what to store for windows and the report of it.

    If all windows of an image exist as tiles, they only label these, unless
    ``replace``. Images of the same source that the file does not mention keep their
    windows if these have labels or are no larger than the new ones; otherwise they are
    divided into a grid of unlabeled windows of the same size.
    """
    splits = image_texts(rows, "split", problems)
    groups = image_texts(rows, "group", problems)
    problems.raise_if_any()
    positions = _by_key(tiles.image_ids.tolist())
    by_image = _by_image(rows)
    cut = {
        image_id: found
        for image_id, found in by_image.items()
        if replace or not _are_tiles(found, tiles, positions.get(image_id, []))
    }
    placed = place_labels(
        [row for row in rows if row.image.id not in cut], tiles, problems, keep=keep
    )
    edges = _largest_edges([row for found in cut.values() for row in found])
    num_classes = len(rows[0].states)
    windows = [_labeled(found) for found in cut.values()]
    rest = [
        image
        for image in images
        if image.id not in by_image
        and image.source_id in edges
        and not _is_cut(
            image, tiles.take(_rows(positions, image)), edges[image.source_id]
        )
    ]
    windows += [_grid(image, edges[image.source_id], num_classes) for image in rest]
    content = ImportContent(
        f"Imported {len(rows)} windows from {printable(source_name)}",
        placed.tile_ids,
        placed.states,
        splits,
        groups,
        windows,
        _tile_sizes(windows, images, tiles, positions),
    )
    notes = [*placed.notes, *general_notes(rows, images, splits, groups)]
    if rest:
        notes.append(
            f"{count_text(len(rest), 'image')} without rows became unlabeled windows."
        )
    states = np.array([row.states for row in rows], np.int8)
    is_cut = np.array([row.image.id in cut for row in rows])
    report = ImportReport(
        images=len(by_image),
        tiles=len(rows),
        labels=placed.labels + count_known(states[is_cut]),
        overturned=placed.overturned,
        kept=placed.kept,
        notes=(*notes, *plausibility_notes(states)),
    )
    return content, report


def replaced_labels(
    content: ImportContent,
    images: Sequence[ImageRecord],
    tiles: TileTable,
    *,
    replace: bool,
) -> int:
    """Count the known labels that the windows of ``content`` hide.

    Raises
    ------
    ProjectError
        If there are labels or reviews and they may not be replaced.
    """
    changed = np.array([windows.image_id for windows in content.windows], np.int64)
    is_changed = np.isin(tiles.image_ids, changed)
    labeled = np.unique(tiles.image_ids[_is_used(tiles) & is_changed])
    if len(labeled) and not replace:
        names = {image.id: image.path.name for image in images}
        raise ProjectError(
            "The windows would replace labels or reviewed masks of "
            f"{count_text(len(labeled), 'image')}, such as "
            f"{printable(names[int(labeled[0])])}.",
            "Import with --replace to replace them; Undo restores the labels.",
        )
    return count_known(tiles.labels[is_changed])


def _by_image(rows: Sequence[LabelRow]) -> dict[int, list[LabelRow]]:
    found: dict[int, list[LabelRow]] = {}
    for row in rows:
        found.setdefault(row.image.id, []).append(row)
    return found


def check_windows(
    rows: Sequence[LabelRow], sources: Sequence[Source], problems: Problems
) -> None:
    """Report windows that are on slides, outside their image, or duplicates."""
    folders = {entry.id for entry in sources if entry.kind is SourceKind.FOLDER}
    seen: set[tuple[int, tuple[int, int, int, int]]] = set()
    for row in rows:
        name = printable(row.image.path.name)
        if row.image.source_id not in folders:
            kind = "windows on slides, which already have tiles"
            problems.add(kind, f"{row.place}: {name}")
        if row.box is None:
            problems.add(NO_CORNER, row.place)
            continue
        box = row.box
        if not box.area:
            problems.add("windows without a size", row.place)
        elif box.bottom > row.image.height or box.right > row.image.width:
            place = f"{row.place}: x {box.x}, y {box.y}, {box.width} x {box.height}"
            problems.add("windows outside their image", place)
        key = row.image.id, (box.y, box.x, box.height, box.width)
        if key in seen:
            problems.add("duplicate rows", f"{row.place}: {name}")
        seen.add(key)


def _labeled(rows: Sequence[LabelRow]) -> NewWindows:
    boxes = np.array(
        [(b.y, b.x, b.height, b.width) for b in _boxes(rows)], np.int64
    ).reshape(-1, 4)
    order = np.lexsort((boxes[:, 1], boxes[:, 0]))
    states = np.array([row.states for row in rows], np.int8)[order]
    return _windows(rows[0].image.id, boxes[order], states)


def _grid(image: ImageRecord, edge: int, num_classes: int) -> NewWindows:
    height, width = min(edge, image.height), min(edge, image.width)
    corners = [
        (y, x, height, width)
        for y in _starts(image.height, height)
        for x in _starts(image.width, width)
    ]
    states = np.full((len(corners), num_classes), -1, np.int8)
    return _windows(image.id, np.array(corners, np.int64), states)


def _starts(length: int, edge: int) -> list[int]:
    # The last one is moved inside: windows never extend past the edge.
    starts = list(range(0, length - edge + 1, edge))
    return starts if starts[-1] + edge == length else [*starts, length - edge]


def _windows(
    image_id: int, boxes: npt.NDArray[np.int64], states: npt.NDArray[np.int8]
) -> NewWindows:
    _, rows = np.unique(boxes[:, 0], return_inverse=True)
    _, cols = np.unique(boxes[:, 1], return_inverse=True)
    return NewWindows(image_id, boxes, rows, cols, states)


def _boxes(rows: Sequence[LabelRow]) -> list[Box]:
    return [row.box for row in rows if row.box is not None]


def _largest_edges(rows: Sequence[LabelRow]) -> dict[int, int]:
    edges: dict[int, int] = {}
    for row, box in zip(rows, _boxes(rows), strict=True):
        source = row.image.source_id
        edges[source] = max(edges.get(source, 0), box.height, box.width)
    return edges


def _tile_sizes(
    windows: Sequence[NewWindows],
    images: Sequence[ImageRecord],
    tiles: TileTable,
    positions: Mapping[int, Sequence[int]],
) -> dict[int, int]:
    """Return the tile size of each source that gets windows, in working pixels."""
    new = {entry.image_id: entry.boxes for entry in windows}
    sources = {image.source_id for image in images if image.id in new}
    sizes: dict[int, int] = {}
    for image in images:
        if image.source_id not in sources:
            continue
        boxes = new.get(image.id)
        if boxes is None:
            boxes = tiles.boxes[_rows(positions, image)]
        for y, x, height, width in boxes.tolist():
            working = Box(y, x, height, width).scaled(1 / image.downsample)
            edge = -(-max(working.height, working.width) // _TILE_MULTIPLE)
            source = image.source_id
            sizes[source] = max(sizes.get(source, 0), edge * _TILE_MULTIPLE)
    return sizes


def _by_key(keys: Sequence[int]) -> dict[int, list[int]]:
    positions: dict[int, list[int]] = {}
    for position, key in enumerate(keys):
        positions.setdefault(key, []).append(position)
    return positions


def _rows(
    positions: Mapping[int, Sequence[int]], image: ImageRecord
) -> npt.NDArray[np.int64]:
    return np.array(positions.get(image.id, ()), np.int64)


def _are_tiles(
    rows: Sequence[LabelRow], tiles: TileTable, positions: Sequence[int]
) -> bool:
    known = {tiles.box(position) for position in positions}
    return known.issuperset(_boxes(rows))


def _is_cut(image: ImageRecord, tiles: TileTable, edge: int) -> bool:
    """Return whether an image keeps its tiles next to windows of ``edge`` pixels."""
    if not len(tiles):
        return False
    if tiles.boxes[:, 2:].max() <= edge:
        return True
    is_whole = tiles.box(0) == Box(0, 0, image.height, image.width)
    return not (len(tiles) == 1 and is_whole) and bool(_is_used(tiles).any())


def _is_used(tiles: TileTable) -> npt.NDArray[np.bool_]:
    is_labeled = np.any(tiles.labels >= 0, axis=1)
    return np.asarray(is_labeled | (tiles.reviews != Review.NONE), np.bool_)
