"""Stored paths of images, which stay valid if the project moves with them."""

import os
from functools import lru_cache
from pathlib import Path


def stored_path(path: Path, project: Path) -> str:
    """Return the text that is stored for ``path``.

    Relative to the project folder if the file is in it or beside it, so that both can
    be moved together; otherwise absolute. Always with forward slashes.
    """
    path, project = _absolute(path), _absolute(project)
    if path in (project, project.parent):
        return _stored_folder(str(path), str(project))
    folder = _stored_folder(str(path.parent), str(project))
    return path.name if folder == "." else f"{folder.rstrip('/')}/{path.name}"


def actual_path(text: str, project: Path) -> Path:
    """Return the absolute path that was stored as ``text``.

    No file can have a NUL in its path: one that damage has put there becomes the sign
    for an unknown character, so that the file is missing and can be relocated.
    """
    text = text.replace("\0", "\ufffd")
    folder, _, name = text.rpartition("/")
    if name in ("", ".", "..") or text == f"/{name}":
        return _absolute(project / text)
    return _actual_folder(folder, str(project.absolute())) / name


# Cached: a source has many files in few folders.
@lru_cache(maxsize=256)
def _stored_folder(folder: str, project: str) -> str:
    path, home = Path(folder), Path(project)
    if path.is_relative_to(home):
        return path.relative_to(home).as_posix()
    if path.is_relative_to(home.parent):
        return (Path("..") / path.relative_to(home.parent)).as_posix()
    return path.as_posix()


@lru_cache(maxsize=256)
def _actual_folder(text: str, project: str) -> Path:
    return _absolute(Path(project) / text)


def moved_path(path: Path, old: Path, new: Path) -> Path:
    """Return where ``path`` is after its source moved from ``old`` to ``new``.

    A file that was not below ``old`` is expected in ``new`` under its name.
    """
    if path == old:
        return new
    return new / (path.relative_to(old) if path.is_relative_to(old) else path.name)


def _absolute(path: Path) -> Path:
    # Not resolve(): links in the path are kept, since the user chose them.
    return Path(os.path.normpath(path.absolute()))
