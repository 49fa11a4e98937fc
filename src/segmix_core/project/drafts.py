"""From what is wanted to the parts of one journal entry: only real differences."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box
from segmix_core.project.edits import tile_states
from segmix_core.project.journal import Part
from segmix_core.project.paths import stored_path
from segmix_core.project.records import (
    SPLITS,
    LabelState,
    NewImage,
    Review,
    SourceKind,
    TilingPlan,
    TissueClass,
)

Ids = npt.NDArray[np.int64]
States = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A change about to be made; without parts it is none."""

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
    """Set the labels of (n,) tiles to (n, C) states."""
    expected = (len(tile_ids), len(classes))
    if states.shape != expected:
        raise ValueError(f"Expected states of shape {expected}, got {states.shape}")
    if states.size and not -1 <= states.min() <= states.max() <= 1:
        raise ValueError("Expected states of -1, 0 and 1")
    now = tile_states(database, tile_ids, len(classes))
    differs = (now.labels != states).any(1)
    before, after = now.labels[differs], states[differs].astype(np.int8)
    if not len(after):
        return Draft("")
    return Draft(
        _describe_labels(before, after, classes),
        (Part("labels", tile_ids[differs], before, after),),
        _distinct(now.image_ids[differs]),
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
        raise ValueError(f"Expected splits of {SPLITS}, got {sorted(set(texts))}")
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
    old = [] if before is None else [before.name, before.color]
    new = [after.name, after.color]
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
    """Write a source with its images and tiles; return its id as well."""
    kind, path, name, plan = source
    cursor = database.execute(
        "INSERT INTO source (kind, path, name, tile_px, stride_px, mpp) "
        "VALUES (?,?,?,?,?,?)",
        (
            kind.value,
            stored_path(path, project),
            name,
            plan.tile_px,
            plan.stride_px,
            plan.mpp,
        ),
    )
    source_id = int(cursor.lastrowid or 0)
    image_ids = []
    for image in images:
        image_id = _insert_image(database, source_id, image, project)
        insert_tiles(database, image_id, image.boxes, image.rows, image.cols)
        image_ids.append(image_id)
    number = sum(len(image.boxes) for image in images)
    part = Part("source", np.array([source_id]), _flags([0]), _flags([1]))
    text = (
        f"Added {name} with {_count(len(images), 'image')} and {_count(number, 'tile')}"
    )
    return Draft(text, (part,), tuple(image_ids)), source_id


def insert_tiles(
    database: sqlite3.Connection, image_id: int, boxes: Ids, rows: Ids, cols: Ids
) -> Ids:
    """Write the tiles of an image; return their ids, (n,) int64."""
    (last,) = database.execute("SELECT ifnull(max(id), 0) FROM tile").fetchone()
    ids = np.arange(last + 1, last + 1 + len(boxes), dtype=np.int64)
    images = np.full(len(boxes), image_id)
    database.executemany(
        "INSERT INTO tile (id, image_id, row, col, y, x, height, width) "
        "VALUES (?,?,?,?,?,?,?,?)",
        np.column_stack((ids, images, rows, cols, boxes)).tolist(),
    )
    return ids


def _insert_image(
    database: sqlite3.Connection, source_id: int, image: NewImage, project: Path
) -> int:
    cursor = database.execute(
        "INSERT INTO image (source_id, path, height, width, mpp, downsample, grp, "
        "split) VALUES (?,?,?,?,?,?,?,?)",
        (
            source_id,
            stored_path(image.path, project),
            int(image.height),
            int(image.width),
            image.mpp,
            float(image.downsample),
            image.group,
            image.split,
        ),
    )
    return int(cursor.lastrowid or 0)


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


def _known(image_id: int, texts: dict[int, str]) -> str:
    if image_id not in texts:
        raise ValueError(f"Expected the id of an image, got {image_id}")
    return texts[image_id]


def _flags(values: Sequence[int]) -> npt.NDArray[np.uint8]:
    return np.array(values, np.uint8)


def _distinct(ids: Ids) -> tuple[int, ...]:
    return tuple(np.unique(ids).tolist())


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
