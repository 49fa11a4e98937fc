"""Opening a project folder: by drag and drop, File > Open, or the command line."""

from collections.abc import Callable, Sequence
from pathlib import Path

from segmix_core.errors import ProjectError

FILE_NAME = "project.sqlite"
NO_LAYERS: list[tuple[None]] = [(None,)]
"""Tells napari that reading went well and there is nothing for it to add."""
Paths = str | Sequence[str]


def get_reader(path: Paths) -> Callable[[Paths], list[tuple[None]]] | None:
    """Return the reader if ``path`` is a project folder, else None."""
    if not isinstance(path, str):
        return None
    is_project = (Path(path) / FILE_NAME).is_file()
    return read_project if is_project else None


def read_project(path: Paths) -> list[tuple[None]]:
    """Open the project in the current viewer's session, with the dock beside it.

    Raises
    ------
    ProjectError
        If no viewer is open.
    """
    from napari import current_viewer

    from napari_segmix._commands import open_dock
    from napari_segmix.session import session_for

    viewer = current_viewer()
    if viewer is None:
        raise ProjectError(
            "There is no napari viewer to show the project in.",
            "Start napari, or use the 'segmix' command without a window.",
        )
    open_dock(viewer)
    session_for(viewer).actions.projects.open_in_background(Path(str(path)))
    return NO_LAYERS
