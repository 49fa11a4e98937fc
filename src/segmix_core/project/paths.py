"""Paths of images that survive moving the project together with them."""

import os
from pathlib import Path


def stored_path(path: Path, project: Path) -> str:
    """Return the text that is stored for ``path``.

    Relative to the project folder when the file lies in it or beside it, so that both
    can be moved together; else absolute. Always with forward slashes.
    """
    path, project = _absolute(path), _absolute(project)
    if path.is_relative_to(project):
        return path.relative_to(project).as_posix()
    if path.is_relative_to(project.parent):
        return (Path("..") / path.relative_to(project.parent)).as_posix()
    return path.as_posix()


def actual_path(text: str, project: Path) -> Path:
    """Return the absolute path that was stored as ``text``."""
    return _absolute(project / text)


def moved_path(path: Path, old: Path, new: Path) -> Path:
    """Return where ``path`` is after its source moved from ``old`` to ``new``.

    A file that was not below ``old`` is looked for by its name in ``new``.
    """
    if path == old:
        return new
    return new / (path.relative_to(old) if path.is_relative_to(old) else path.name)


def _absolute(path: Path) -> Path:
    # Not resolve(): a link in the path is the user's name for the place.
    return Path(os.path.normpath(path.absolute()))
