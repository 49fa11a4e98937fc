"""Queries that turn the tables into values."""

from pathlib import Path

import numpy as np

from segmix_core.project.database import Database, Row
from segmix_core.project.edits import decode_labels
from segmix_core.project.paths import actual_path
from segmix_core.project.records import (
    ImageRecord,
    Source,
    SourceKind,
    TileTable,
    TilingPlan,
    TissueClass,
)

_IMAGE = (
    "SELECT i.id, i.source_id, i.path, i.height, i.width, i.mpp, i.downsample, i.grp, "
    "i.split FROM image AS i JOIN source AS s ON s.id = i.source_id WHERE s.shown "
)
_TILE_NUMBERS = (
    "SELECT t.id, t.image_id, t.row, t.col, t.y, t.x, t.height, t.width, t.review, "
    "t.labels FROM source AS s JOIN image AS i ON i.source_id = s.id "
    "JOIN tile AS t ON t.image_id = i.id WHERE s.shown AND t.shown "
)


def read_classes(database: Database) -> tuple[TissueClass, ...]:
    """Return the classes by index."""
    rows = database.rows("SELECT idx, name, color FROM class ORDER BY idx")
    return tuple(TissueClass(*row) for row in rows)


def read_sources(database: Database, project: Path) -> tuple[Source, ...]:
    """Return the sources in the order they were added."""
    rows = database.rows(
        "SELECT id, kind, path, name, tile_px, stride_px, mpp FROM source "
        "WHERE shown ORDER BY id"
    )
    return tuple(
        Source(
            row[0],
            SourceKind(row[1]),
            actual_path(row[2], project),
            row[3],
            TilingPlan(*row[4:]),
        )
        for row in rows
    )


def read_images(
    database: Database, project: Path, source_id: int | None
) -> tuple[ImageRecord, ...]:
    """Return the images of one source or of all, in the order they were added."""
    if source_id is None:
        rows = database.rows(_IMAGE + "ORDER BY i.id")
    else:
        rows = database.rows(_IMAGE + "AND s.id = ? ORDER BY i.id", (source_id,))
    return tuple(_image(row, project) for row in rows)


def read_image(database: Database, project: Path, image_id: int) -> ImageRecord:
    """Return one image.

    Raises
    ------
    ValueError
        If the id is unknown.
    """
    rows = database.rows(_IMAGE + "AND i.id = ?", (image_id,))
    if not rows:
        raise ValueError(f"Expected the id of an image, got {image_id}")
    return _image(rows[0], project)


def read_tiles(
    database: Database, source_id: int | None, num_classes: int
) -> TileTable:
    """Return the tiles of one source or of all, by id."""
    condition = "" if source_id is None else "AND s.id = ? "
    values = () if source_id is None else (source_id,)
    rows = database.rows(_TILE_NUMBERS + condition + "ORDER BY t.id", values)
    numbers = np.array([row[:9] for row in rows], np.int64).reshape(len(rows), 9)
    ids, image_ids, grid_rows, grid_cols = numbers[:, :4].T.copy()
    return TileTable(
        ids=ids,
        image_ids=image_ids,
        rows=grid_rows,
        cols=grid_cols,
        boxes=numbers[:, 4:8].copy(),
        labels=decode_labels([row[9] for row in rows], num_classes),
        reviews=numbers[:, 8].astype(np.int8),
    )


def _image(row: Row, project: Path) -> ImageRecord:
    image_id, source_id, path, *rest = row
    return ImageRecord(image_id, source_id, actual_path(path, project), *rest)
