"""Queries that turn the tables into values."""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segmix_core.errors import ProjectError
from segmix_core.geometry import Box
from segmix_core.project.class_rules import is_color
from segmix_core.project.database import Database
from segmix_core.project.edits import decode_labels, decode_reviews
from segmix_core.project.opening import Row
from segmix_core.project.packing import decoding
from segmix_core.project.paths import actual_path
from segmix_core.project.records import (
    Fingerprint,
    ImageRecord,
    Source,
    SourceKind,
    TileTable,
    TilingPlan,
    TissueClass,
)

_IMAGE = (
    "SELECT i.id, i.source_id, i.path, i.height, i.width, i.mpp_y, i.mpp_x, "
    "i.downsample, i.grp, i.split, i.file_size, i.file_mtime_ns, i.file_digest, "
    "i.bounds FROM image AS i JOIN source AS s ON s.id = i.source_id WHERE s.shown "
)
_TILE = (
    "SELECT t.id, t.image_id, t.row, t.col, t.y, t.x, t.height, t.width "
    "FROM source AS s JOIN image AS i ON i.source_id = s.id "
    "JOIN tile AS t ON t.image_id = i.id WHERE s.shown AND t.shown "
)

Grid = npt.NDArray[np.int64]
"""(N, 8): id, image id, row, col, y, x, height, width of each tile, by id."""


def read_classes(database: Database) -> tuple[TissueClass, ...]:
    """Return the classes by index."""
    rows = database.rows("SELECT idx, name, color, since FROM class ORDER BY idx")
    with decoding("classes"):
        if [row[0] for row in rows] != list(range(1, len(rows) + 1)):
            raise ValueError("indices with gaps")
        if not all(is_color(str(row[2])) for row in rows):
            raise ValueError("a color that is none")
        return tuple(
            TissueClass(index, str(name), str(color), int(since))
            for index, name, color, since in rows
        )


def read_sources(database: Database, project: Path) -> tuple[Source, ...]:
    """Return the sources in the order they were added."""
    rows = database.rows(
        "SELECT id, kind, path, name, tile_px, stride_px, mpp FROM source "
        "WHERE shown ORDER BY id"
    )
    with decoding("sources"):
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
    ProjectError
        If it is not in the project (any more).
    """
    rows = database.rows(_IMAGE + "AND i.id = ?", (image_id,))
    if not rows:
        raise ProjectError(
            f"Image {image_id} is no longer in the project.",
            "Use Redo to add it again.",
        )
    return _image(rows[0], project)


class TileTables:
    """Reads tile tables; caches the boxes of the tiles, which rarely change."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._grids: dict[int | None, tuple[int, Grid]] = {}

    def read(self, source_id: int | None) -> TileTable:
        """Return the tiles of one source or of all, by id, as they are now."""
        with self._database.snapshot() as connection:
            (num_classes,) = connection.execute("SELECT count(*) FROM class").fetchone()
            grid = self._grid(connection, source_id)
            blobs, reviews = _read_states(connection, grid[:, 0])
        ids, image_ids, rows, cols = grid[:, :4].T.copy()
        return TileTable(
            ids=ids,
            image_ids=image_ids,
            rows=rows,
            cols=cols,
            boxes=grid[:, 4:].copy(),
            labels=decode_labels(blobs, num_classes),
            reviews=decode_reviews(reviews),
        )

    def _grid(self, connection: sqlite3.Connection, source_id: int | None) -> Grid:
        (changed,) = connection.execute(
            "SELECT ifnull(max(id), 0) FROM journal "
            "WHERE kind IN ('source', 'tissue', 'restore')"
        ).fetchone()
        known, grid = self._grids.get(source_id, (-1, np.empty((0, 8), np.int64)))
        if known != changed:
            condition = "" if source_id is None else "AND s.id = ? "
            values = () if source_id is None else (source_id,)
            found = connection.execute(_TILE + condition + "ORDER BY t.id", values)
            with decoding("tiles"):
                grid = np.array(found.fetchall(), np.int64).reshape(-1, 8)
                if (grid[:, 6:] < 1).any():
                    raise ValueError("a tile without pixels")
            self._grids[source_id] = changed, grid
        return grid


def _read_states(
    connection: sqlite3.Connection, ids: npt.NDArray[np.int64]
) -> tuple[Sequence[bytes], Sequence[int]]:
    """Return labels and reviews of the tiles ``ids`` (N,), which ascend."""
    if not len(ids):
        return (), ()
    # One scan of a range is much faster than N searches or a join.
    rows = connection.execute(
        "SELECT id, labels, review FROM tile WHERE id BETWEEN ? AND ? ORDER BY id",
        (int(ids[0]), int(ids[-1])),
    ).fetchall()
    if len(rows) != len(ids):
        wanted = set(ids.tolist())
        rows = [row for row in rows if row[0] in wanted]
    _, blobs, reviews = zip(*rows, strict=True)
    return blobs, reviews


def _image(row: Row, project: Path) -> ImageRecord:
    image_id, source_id, path, height, width, mpp_y, mpp_x = row[:7]
    downsample, group, split = row[7:10]
    size, mtime_ns, digest, bounds = row[10:]
    with decoding(f"image {image_id}"):
        return ImageRecord(
            image_id,
            source_id,
            actual_path(path, project),
            _positive(height),
            _positive(width),
            None if mpp_y is None else float(mpp_y),
            None if mpp_x is None else float(mpp_x),
            float(downsample),
            str(group),
            str(split),
            fingerprint=None
            if digest is None
            else Fingerprint(int(size), int(mtime_ns), digest),
            bounds=None if bounds is None else Box(*map(int, json.loads(bounds))),
        )


def _positive(value: int) -> int:
    if value < 1:
        raise ValueError(f"a size of {value}")
    return int(value)
