"""Build journal entries: compare the wanted values with the stored ones."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from segmix_core.errors import ProjectError
from segmix_core.geometry import Box
from segmix_core.project import chunks
from segmix_core.project import tissue as tissues
from segmix_core.project.edits import pack_rows, tile_states
from segmix_core.project.journal import Part
from segmix_core.project.paths import stored_path
from segmix_core.project.records import (
    KEEP,
    SPLITS,
    UNCHANGED,
    Fingerprint,
    LabelState,
    NewImage,
    Review,
    SourceKind,
    TilingPlan,
    Tissue,
    TissueClass,
)

Ids = npt.NDArray[np.int64]
States = npt.NDArray[np.int8]
Value = TypeVar("Value")
_NO_BOXES = np.zeros((0, 8), np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A change to be made; no parts means nothing changes."""

    description: str
    parts: tuple[Part, ...] = ()
    image_ids: tuple[int, ...] = ()
    box: Box | None = None


def draft_labels(
    database: sqlite3.Connection,
    tile_ids: Ids,
    states: States,
    classes: Sequence[TissueClass],
) -> Draft:
    """Set the labels of (n,) tiles to (n, K) states of the first K ``classes``.

    KEEP leaves the stored state.
    """
    count, width = len(tile_ids), states.shape[-1]
    if states.shape != (count, width) or width > len(classes):
        expected = f"({count}, at most {len(classes)})"
        raise ValueError(f"States must have the shape {expected}, not {states.shape}")
    if states.size and not KEEP <= states.min() <= states.max() <= 1:
        raise ValueError("States must be -2, -1, 0 or 1")
    now = tile_states(database, tile_ids, len(classes))
    wanted = now.labels.copy()
    wanted[:, :width] = np.where(states == KEEP, wanted[:, :width], states)
    return draft_difference(tile_ids, now.image_ids, now.labels, wanted, classes)


def draft_difference(
    tile_ids: Ids,
    image_ids: Ids,
    before: States,
    after: States,
    classes: Sequence[TissueClass],
) -> Draft:
    """Change the labels of (n,) tiles from ``before`` to ``after``, (n, C) each."""
    differs = (before != after).any(1)
    before, after = before[differs], after[differs]
    if not len(after):
        return Draft("")
    return Draft(
        _describe_labels(before, after, classes),
        (Part("labels", tile_ids[differs], before, after),),
        _distinct(image_ids[differs]),
    )


def check_known_classes(
    known: Sequence[TissueClass], classes: Sequence[TissueClass], used: Sequence[int]
) -> None:
    """Check that the classes with indices ``used``, 1..C, are still those of ``known``.

    Raises
    ------
    ProjectError
        If one was undone, or another class has its index now.
    """
    now = {entry.index: entry.since for entry in classes}
    for entry in known:
        if entry.index in used and now.get(entry.index) != entry.since:
            raise ProjectError(
                f"Class {entry.name} is no longer in the project.",
                "Check the current classes and try again.",
            )


def draft_reviews(database: sqlite3.Connection, tile_ids: Ids, review: Review) -> Draft:
    """Set the review of (n,) tiles."""
    now = tile_states(database, tile_ids, 0)
    differs = now.reviews != review
    before = now.reviews[differs]
    if not len(before):
        return Draft("")
    verb = {0: "Withdrew the review of", 1: "Accepted", 2: "Marked as corrected"}
    return Draft(
        f"{verb[review]} {_count(len(before), 'mask')}",
        (Part("review", tile_ids[differs], before, np.full_like(before, review)),),
        _distinct(now.image_ids[differs]),
    )


def draft_image_texts(
    database: sqlite3.Connection,
    column: Literal["split", "group"],
    image_ids: Ids,
    texts: Sequence[str],
) -> Draft:
    """Set ``column`` "split" or "group" of (n,) images to n texts."""
    stored = {"split": "split", "group": "grp"}[column]
    if column == "split" and not set(texts) <= set(SPLITS):
        raise ValueError(f"Splits must be in {SPLITS}, not {sorted(set(texts))}")
    rows = database.execute(f"SELECT id, {stored} FROM image").fetchall()
    now = dict(rows)
    changed = [
        (image_id, now[image_id], text)
        for image_id, text in zip(image_ids.tolist(), texts, strict=True)
        if _known(image_id, now) != text
    ]
    if not changed:
        return Draft("")
    ids, before, after = zip(*changed, strict=True)
    part = Part(column, np.array(ids, np.int64), np.array(before), np.array(after))
    return Draft(f"Changed the {column} of {_count(len(ids), 'image')}", (part,), ids)


def draft_class(
    description: str, index: int, before: TissueClass | None, after: TissueClass
) -> Draft:
    """Add or change the class of ``index``."""
    old = [] if before is None else [before.name, before.color, str(before.since)]
    new = [after.name, after.color, str(after.since)]
    if old == new:
        return Draft("")
    part = Part("class", np.array([index]), np.array(old, np.str_), np.array(new))
    return Draft(description, (part,))


def draft_source(
    database: sqlite3.Connection,
    source: tuple[SourceKind, Path, str, TilingPlan],
    images: Sequence[NewImage],
    project: Path,
) -> tuple[Draft, int]:
    """Add a source with its images and tiles; return the change and the id."""
    kind, path, name, plan = source
    source_id = _next_id(database, "source")
    first = _next_id(database, "image")
    row = {
        "id": source_id,
        "kind": kind.value,
        "path": stored_path(path, project),
        "name": name,
        "tile_px": plan.tile_px,
        "stride_px": plan.stride_px,
        "mpp": plan.mpp,
        "shown": 0,
    }
    rows = [
        _image_row(first + i, source_id, image, project)
        for i, image in enumerate(images)
    ]
    boxes = [
        _box_rows(first + i, image.boxes, image.rows, image.cols, shown=True)
        for i, image in enumerate(images)
    ]
    parts = (
        Part(
            "images", np.array([source_id]), np.zeros(0, np.uint8), pack_rows(row, rows)
        ),
        draft_boxes(database, np.concatenate([_NO_BOXES, *boxes])),
        *(
            _tissue_part(first + i, None, image.tissue)
            for i, image in enumerate(images)
            if image.tissue is not None
        ),
        Part("source", np.array([source_id]), _flags([0]), _flags([1])),
    )
    number = sum(len(image.boxes) for image in images)
    text = (
        f"Added {name} with {_count(len(images), 'image')} and {_count(number, 'tile')}"
    )
    return Draft(text, parts, tuple(row["id"] for row in rows)), source_id


def draft_boxes(
    database: sqlite3.Connection, boxes: Ids, before: Sequence[Part] = ()
) -> Part:
    """Return the part that writes new tiles; its keys are their ids.

    Parameters
    ----------
    database
        The connection.
    boxes
        (n, 8); see :mod:`segmix_core.project.edits`.
    before
        Parts of the same entry, whose tiles are not written yet.
    """
    taken = [int(part.keys.max()) for part in before if part.keys.size]
    first = max([_next_id(database, "tile"), *(last + 1 for last in taken)])
    ids = np.arange(first, first + len(boxes), dtype=np.int64)
    return Part("boxes", ids, _NO_BOXES, boxes)


def hidden_boxes(image_id: int, boxes: Ids, rows: Ids, cols: Ids) -> Ids:
    """Return (n, 8) rows of hidden tiles."""
    return _box_rows(image_id, boxes, rows, cols, shown=False)


def draft_tissue(
    database: sqlite3.Connection, image_id: int, tissue: Tissue, cells: Ids
) -> Draft:
    """Set the tissue mask of an image, and its tiles.

    Parameters
    ----------
    database
        The connection.
    image_id
        The image.
    tissue
        The mask that selected the tiles.
    cells
        (n, 6): row, col, y, x, height, width of the tiles. A tile that existed before,
        hidden or not, keeps its id, labels and review.
    """
    before = tissues.read(database, image_id)
    known = np.array(
        database.execute(
            "SELECT row, col, y, x, height, width, id, shown FROM tile "
            "WHERE image_id = ? ORDER BY shown, id",
            (image_id,),
        ).fetchall(),
        np.int64,
    ).reshape(-1, 8)
    kept = _same_tiles(known[:, :6], cells)
    new = cells[kept < 0]
    ids, is_shown = known[:, 6], known[:, 7] > 0
    is_kept = np.zeros(len(known), np.bool_)
    is_kept[kept[kept >= 0]] = True
    gone, back = ids[is_shown & ~is_kept], ids[is_kept & ~is_shown]
    count = _count(len(back) + len(new), "tile")
    text = f"Corrected the tissue: {count} added, {len(gone)} removed"
    parts = [_tissue_part(image_id, before, tissue)]
    if np.array_equal(parts[0].before, parts[0].after):
        parts = []
    added = draft_boxes(
        database, hidden_boxes(image_id, new[:, 2:], new[:, 0], new[:, 1])
    )
    if len(new):
        parts.append(added)
    flags = np.repeat(_flags([1, 0, 0]), (len(gone), len(back), len(new)))
    if len(flags):
        changed = np.concatenate([gone, back, added.keys])
        parts.append(Part("tiles", changed, flags, 1 - flags))
    return Draft(text, tuple(parts), (image_id,))


def _same_tiles(known: Ids, cells: Ids) -> Ids:
    """Return which row of ``known`` (n, 6) each of ``cells`` (m, 6) is; -1 for none.

    The last one if there are several.
    """
    found = np.full(len(cells), -1, np.int64)
    if not len(cells):
        return found
    corners, wanted = (table[:, 2] << 32 | table[:, 3] for table in (known, cells))
    order = np.argsort(wanted)
    places = order[
        np.searchsorted(wanted, corners, sorter=order).clip(max=len(cells) - 1)
    ]
    is_same = (cells[places] == known).all(axis=1)
    found[places[is_same]] = np.flatnonzero(is_same)
    return found


def _tissue_part(image_id: int, before: Tissue | None, after: Tissue) -> Part:
    packed = tissues.pack_tissue(before), tissues.pack_tissue(after)
    return Part("tissue", np.array([image_id]), *packed)


def draft_mpp(
    database: sqlite3.Connection, image_ids: Ids, mpp_y: float, mpp_x: float
) -> Draft:
    """Set µm per level-0 pixel of (n,) images."""
    before = _image_columns(database, image_ids, ("mpp_y", "mpp_x"))
    old = np.array(
        [[np.nan if v is None else v for v in row] for row in before], np.float64
    ).reshape(-1, 2)
    new = np.broadcast_to(np.array([mpp_y, mpp_x]), old.shape)
    differs = (old != new).any(1)
    if not differs.any():
        return Draft("")
    size = f"{mpp_y:.4g}" if mpp_y == mpp_x else f"{mpp_y:.4g} x {mpp_x:.4g}"
    ids = image_ids[differs]
    text = f"Set the pixel size of {_count(len(ids), 'image')} to {size} µm"
    part = Part("mpp", ids, old[differs], new[differs].copy())
    return Draft(text, (part,), tuple(ids.tolist()))


def draft_files(
    database: sqlite3.Connection, image_ids: Ids, files: Sequence[Fingerprint]
) -> Draft:
    """Accept the current files of (n,) images."""
    names = ("file_size", "file_mtime_ns", "file_digest")
    before = np.array(
        [
            ["" if value is None else str(value) for value in row]
            for row in _image_columns(database, image_ids, names)
        ],
        np.str_,
    ).reshape(-1, 3)
    after = np.array(
        [[str(file.size), str(file.mtime_ns), file.digest] for file in files], np.str_
    ).reshape(-1, 3)
    differs = (before != after).any(1)
    if not differs.any():
        return Draft("")
    ids = image_ids[differs]
    part = Part("file", ids, before[differs], after[differs])
    text = f"Accepted {_count(len(ids), 'changed file')}"
    return Draft(text, (part,), tuple(ids.tolist()))


def draft_mask(
    database: sqlite3.Connection, image_id: int, box: Box, values: chunks.MaskArray
) -> Draft:
    """Correct the pixels of ``box``; UNCHANGED leaves the stored pixels."""
    before = chunks.read_box(database, image_id, box)
    after = np.where(values == UNCHANGED, before, values)
    changed = chunks.changed_box(before, after)
    if changed is None:
        return Draft("")
    place = changed.moved(box.y, box.x)
    number = int((before != after).sum())
    part = Part(
        "mask",
        chunks.mask_key(image_id, place),
        before[changed.slices],
        after[changed.slices],
    )
    text = f"Corrected {_count(number, 'mask pixel')}"
    return Draft(text, (part,), (image_id,), place)


def _image_row(
    image_id: int, source_id: int, image: NewImage, project: Path
) -> dict[str, Any]:
    file, bounds = image.fingerprint, image.bounds
    return {
        "id": image_id,
        "source_id": source_id,
        "path": stored_path(image.path, project),
        "height": int(image.height),
        "width": int(image.width),
        "mpp_y": image.mpp_y,
        "mpp_x": image.mpp_x,
        "downsample": float(image.downsample),
        "grp": image.group,
        "split": image.split,
        "file_size": None if file is None else file.size,
        "file_mtime_ns": None if file is None else file.mtime_ns,
        "file_digest": None if file is None else file.digest,
        "bounds": None
        if bounds is None
        else json.dumps([bounds.y, bounds.x, bounds.height, bounds.width]),
    }


def _box_rows(image_id: int, boxes: Ids, rows: Ids, cols: Ids, *, shown: bool) -> Ids:
    images = np.full(len(boxes), image_id)
    flags = np.full(len(boxes), int(shown))
    return np.column_stack((images, rows, cols, boxes, flags)).astype(np.int64)


def _next_id(
    database: sqlite3.Connection, table: Literal["source", "image", "tile"]
) -> int:
    row = database.execute(f"SELECT 1 + ifnull(max(id), 0) FROM {table}").fetchone()
    return int(row[0])


def _image_columns(
    database: sqlite3.Connection, image_ids: Ids, names: Sequence[str]
) -> list[tuple[Any, ...]]:
    rows = database.execute(f"SELECT id, {', '.join(names)} FROM image").fetchall()
    found = {row[0]: row[1:] for row in rows}
    return [_known(image_id, found) for image_id in image_ids.tolist()]


def _describe_labels(
    before: States, after: States, classes: Sequence[TissueClass]
) -> str:
    changed = before != after
    columns, values = np.flatnonzero(changed.any(0)), np.unique(after[changed])
    tiles = _count(len(after), "tile")
    if len(columns) != 1 or len(values) != 1:
        return f"Changed the labels of {tiles}"
    word = LabelState(int(values[0])).name.lower()
    return f"Set {classes[columns[0]].name} to {word} in {tiles}"


def _known(image_id: int, found: dict[int, Value]) -> Value:
    if image_id not in found:
        raise ValueError(f"No image has the id {image_id}")
    return found[image_id]


def _flags(values: Sequence[int]) -> npt.NDArray[np.uint8]:
    return np.array(values, np.uint8)


def _distinct(ids: Ids) -> tuple[int, ...]:
    return tuple(np.unique(ids).tolist())


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
