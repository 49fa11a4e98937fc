"""Files of a source that have moved."""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from segmix_core.errors import ProjectError
from segmix_core.project.matching import PathMatcher, shortest_paths
from segmix_core.project.paths import moved_path, stored_path
from segmix_core.project.records import ImageRecord, Source


def relocated(
    source: Source, images: Sequence[ImageRecord], new_path: Path
) -> dict[int, Path]:
    """Find the new path of each image id on the disk.

    An image should have the same path below ``new_path`` as below the source.
    Otherwise it is found by name, by the rule of :mod:`segmix_core.project.matching`.

    Raises
    ------
    ProjectError
        If files are missing, or the match between images and files is ambiguous;
        names the first.
    """
    if not new_path.exists():
        raise ProjectError(
            f"{new_path} does not exist.",
            "Choose the current path of the images.",
        )
    moves = {
        image.id: moved_path(image.path, source.path, new_path) for image in images
    }
    missing = {key: path for key, path in moves.items() if not path.exists()}
    if missing:
        moves |= _found_by_name(missing, new_path, source.name)
        _check_different(moves)
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


def _found_by_name(
    missing: Mapping[int, Path], folder: Path, name: str
) -> dict[int, Path]:
    matcher = PathMatcher(
        (path, path) for path in sorted(folder.rglob("*")) if path.is_file()
    )
    found = {}
    lost = []
    for image_id, path in missing.items():
        match = matcher.find(str(path))
        if match.item is not None:
            found[image_id] = match.item
        elif match.is_ambiguous:
            raise ProjectError(
                f"{path.name} matches several files: "
                f"{shortest_paths(match.candidates)}.",
                "Keep only one of them in the folder.",
            )
        else:
            lost.append(path)
    if lost:
        count = "1 file" if len(lost) == 1 else f"{len(lost)} files"
        raise ProjectError(
            f"{count} of {name} cannot be found in {folder}, such as {lost[0].name}.",
            "Choose the folder that contains all of them.",
        )
    return found


def _check_different(moves: Mapping[int, Path]) -> None:
    seen: set[Path] = set()
    for path in moves.values():
        if path in seen:
            raise ProjectError(
                f"{path.name} matches several images.",
                "Restore the original file names.",
            )
        seen.add(path)
