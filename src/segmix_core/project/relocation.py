"""Files of a source that have moved."""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from segmix_core.errors import ProjectError
from segmix_core.project.paths import moved_path, stored_path
from segmix_core.project.records import ImageRecord, Source


def relocated(
    source: Source, images: Sequence[ImageRecord], new_path: Path
) -> dict[int, Path]:
    """Return the new path of each image id.

    Raises
    ------
    ProjectError
        If files are missing there; names the first.
    """
    moves = {
        image.id: moved_path(image.path, source.path, new_path) for image in images
    }
    missing = [path for path in moves.values() if not path.is_file()]
    if missing:
        raise ProjectError.unexpected(
            f"the {len(images)} files of {source.name} at {new_path}",
            f"{len(missing)} missing, first {missing[0].name}",
            "Choose the place where all of them are.",
        )
    return moves


def write_paths(
    database: sqlite3.Connection,
    source_id: int,
    path: Path,
    moves: Mapping[int, Path],
    project: Path,
) -> None:
    """Store the path of a source and of its images."""
    database.execute(
        "UPDATE source SET path = ? WHERE id = ?",
        (stored_path(path, project), source_id),
    )
    database.executemany(
        "UPDATE image SET path = ? WHERE id = ?",
        [(stored_path(new, project), image_id) for image_id, new in moves.items()],
    )
