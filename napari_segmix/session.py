"""The session of a viewer: makes the model and the actions, and wires them."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_segmix.actions.actions import Actions
from napari_segmix.actions.background import Background
from napari_segmix.actions.classes import ClassActions
from napari_segmix.actions.correction import CorrectionActions
from napari_segmix.actions.history import HistoryActions
from napari_segmix.actions.labels import LabelActions
from napari_segmix.actions.masks import MaskActions
from napari_segmix.actions.pictures import PictureActions
from napari_segmix.actions.projects import ProjectActions
from napari_segmix.actions.rescue import RescueActions
from napari_segmix.actions.runs import RunActions
from napari_segmix.actions.showing import Showing
from napari_segmix.actions.sources import SourceActions
from napari_segmix.actions.tissue import TissueActions
from napari_segmix.actions.watch import WatchActions
from napari_segmix.executor import Executor, ThreadExecutor
from napari_segmix.layers.canvas import Canvas
from napari_segmix.model.model import Model
from napari_segmix.preferences import read_preferences
from segmix_core.runs import RunFolder, launch

if TYPE_CHECKING:
    from napari.viewer import Viewer

_SESSIONS: list["Session"] = []


def session_for(viewer: "Viewer") -> "Session":
    """Return the viewer's session; the first call makes it.

    Viewers reach plugins as proxies that are made anew and compare equal, so the
    session is searched with ``==`` and never kept in a dictionary.
    """
    for session in _SESSIONS:
        if session.viewer == viewer:
            return session
    session = Session(viewer)
    _SESSIONS.append(session)
    return session


def _launch_as_preferred(folder: RunFolder) -> int:
    return launch(folder, python=read_preferences().python)


class Session:
    """What one viewer works on; it survives closing and reopening the dock.

    Attributes
    ----------
    viewer
        The napari viewer.
    model
        What is open, selected and running.
    actions
        What a person can do.
    canvas
        The layers of the shown source.
    background
        Threads, and the process in which files are first opened.
    showing
        Keeps model and canvas up to date with the project.
    watch
        Shows what other programs change.
    """

    page_requested = Signal(str)
    """Show a page of the dock, by its title."""

    def __init__(self, viewer: "Viewer", executor: Executor | None = None) -> None:
        self.viewer = viewer
        self.model = model = Model()
        self._is_closed = False
        self._executor = executor or ThreadExecutor()
        self.canvas = canvas = Canvas(viewer, self._executor, model.notices.report)
        self.background = background = Background(self._executor, model.notices)
        self.showing = showing = Showing(model, background, canvas)
        history = HistoryActions(model, showing)
        labels = LabelActions(model, canvas, showing, history)
        showing.tile_actions = labels
        runs = RunActions(model, _launch_as_preferred)
        pictures = PictureActions(model, background, canvas, runs)
        correction = CorrectionActions(model, background, canvas)
        masks = MaskActions(model, background, canvas, correction, history, runs)
        tissue = TissueActions(model, background, canvas, showing, history)
        sources = SourceActions(model, background, showing, tissue)
        self.watch = WatchActions(model, canvas, showing, masks)
        rescue = RescueActions(model, background)
        projects = ProjectActions(
            model, background, showing, runs, sources, tissue, rescue
        )
        showing.check_files = sources.check_files
        sources.open_project = projects.open
        rescue.on_restored = self._on_restored
        self.actions = Actions(
            projects=projects,
            sources=sources,
            classes=ClassActions(model, showing),
            labels=labels,
            history=history,
            runs=runs,
            pictures=pictures,
            masks=masks,
            correction=correction,
            tissue=tissue,
            rescue=rescue,
            executor=self._executor,
        )

    def close(self) -> None:
        """End the session: its viewer is gone. Layers are left alone."""
        if self._is_closed:
            return
        self._is_closed = True
        actions, project = self.actions, self.model.project
        self.watch.stop()
        actions.projects.cancel()
        actions.rescue.forget()
        actions.runs.detach()
        actions.tissue.finish()
        self.background.close()
        self.canvas.disconnect()
        if project.store is not None:
            project.store.close()
            project.take(None)
        if self in _SESSIONS:
            _SESSIONS.remove(self)

    def _on_restored(self, path: Path, text: str) -> None:
        say = partial(self.model.notices.say, text)
        if path == self.model.project.path:
            self.watch.look()
            say()
        else:
            self.actions.projects.open_in_background(path, say)
