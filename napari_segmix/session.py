"""The session: what one viewer works on.

There is one :class:`Session` per viewer. It owns the store, the runs, the callbacks
and the work in threads, and survives closing and reopening the dock. Pages of the
dock listen to its signals and call its verbs; nothing else connects them.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_segmix.executor import Executor, ThreadExecutor
from napari_segmix.intake_control import IntakeControl
from napari_segmix.label_edits import LabelCounts, States, count_labels
from napari_segmix.labelling import Labelling
from napari_segmix.layers.source_view import SourceView
from napari_segmix.preferences import read_preferences
from napari_segmix.run_control import RunControl
from segmix_core.errors import ProjectError, SegmixError
from segmix_core.project.records import Change, Source, TileTable, TissueClass
from segmix_core.project.store import ProjectStore
from segmix_core.runs import RunFolder, launch

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_segmix.layers.placement import Placement
    from napari_segmix.mask_control import MaskControl

_log = logging.getLogger(__name__)
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
    """The project that is open in a viewer, and what is selected in it.

    Attributes
    ----------
    viewer
        The napari viewer.
    executor
        Runs reading in threads; see :mod:`napari_segmix.executor`.
    store
        The open project, or None. Changes go through the verbs below, which keep the
        pages and layers in step.
    intake
        :class:`IntakeControl`: add slides and folders, import labels.
    labelling
        :class:`Labelling`: brush, current tile, label edits, next unlabelled tile.
    runs
        :class:`RunControl`: start, stop, follow and re-attach to runs; it has signals
        of its own.
    masks
        :class:`MaskControl`: mask overlay, correction window and review.
    """

    project_changed = Signal()
    """A project was opened or closed."""
    sources_changed = Signal()
    classes_changed = Signal()
    labels_changed = Signal()
    """Labels of any source changed, by the user, an import or undo."""
    active_source_changed = Signal()
    """Another source, or none, is shown; ``placement`` and ``tiles`` are new."""
    history_changed = Signal()
    """What undo and redo would do is different now."""
    change_undone = Signal(object)
    """Undo or redo wrote a ``Change``; layers of masks read their pixels again."""
    message = Signal(str, str)
    """A sentence for the status line, and "info", "warning" or "error"."""
    busy_changed = Signal()
    """``busy`` is another sentence now."""
    page_requested = Signal(str)
    """Show a page of the dock, by its title."""

    def __init__(self, viewer: "Viewer", executor: Executor | None = None) -> None:
        self.viewer = viewer
        self.executor: Executor = executor or ThreadExecutor()
        self.runs = RunControl(_launch_as_preferred)
        self.intake = IntakeControl(self)
        self.labelling = Labelling(self)
        self.store: ProjectStore | None = None
        self.view: SourceView | None = None
        self.busy = ""
        self._source_id: int | None = None
        self._tables: dict[int, TileTable] = {}

    @cached_property
    def masks(self) -> "MaskControl":
        """Masks of the open project."""
        from napari_segmix.mask_control import MaskControl

        return MaskControl(self)

    # ---- what is open -------------------------------------------------------------

    @property
    def project_path(self) -> Path | None:
        """Folder of the open project."""
        return None if self.store is None else self.store.path

    @property
    def classes(self) -> tuple[TissueClass, ...]:
        """Classes of the project, by index 1..C; empty without a project."""
        return () if self.store is None else self.store.classes()

    @property
    def sources(self) -> tuple[Source, ...]:
        """Slides and folders of the project."""
        return () if self.store is None else self.store.sources()

    @property
    def active_source(self) -> Source | None:
        """The source whose layers are shown."""
        return next((s for s in self.sources if s.id == self._source_id), None)

    @property
    def placement(self) -> "Placement | None":
        """Where the active source's tiles lie in the viewer."""
        return None if self.view is None else self.view.placement

    @property
    def tiles(self) -> TileTable | None:
        """Tiles of the active source, labels up to date; rows index tiles."""
        return None if self._source_id is None else self.table(self._source_id)

    def table(self, source_id: int) -> TileTable:
        """Return the tiles of a source, from memory after the first time."""
        if source_id not in self._tables:
            self._tables[source_id] = self._require().tiles(source_id)
        return self._tables[source_id]

    @property
    def label_counts(self) -> LabelCounts:
        """Labels of the whole project."""
        tables = [self.table(source.id).labels for source in self.sources]
        empty = np.zeros((0, len(self.classes)), np.int8)
        return count_labels(np.concatenate([empty, *tables]))

    def counts_of(self, source_id: int) -> LabelCounts:
        """Return the labels of one source."""
        return count_labels(self.table(source_id).labels)

    def _require(self) -> ProjectStore:
        if self.store is None:
            raise ProjectError(
                "an open project", "none", "Create or open one on the Data page."
            )
        return self.store

    # ---- projects -----------------------------------------------------------------

    def new_project(self, path: Path, class_names: Sequence[str]) -> bool:
        """Create a project in a new folder and open it; whether that worked."""
        return self._open(partial(ProjectStore.create, path, class_names))

    def open_project(self, path: Path) -> bool:
        """Open a project folder, show its first source, re-attach to its runs."""
        return self._open(partial(ProjectStore.open, path))

    def _open(self, make: Callable[[], ProjectStore]) -> bool:
        try:
            store = make()
        except SegmixError as error:
            self.report(error)
            return False
        self.close_project()
        self.store = store
        self.project_changed.emit()
        self.classes_changed.emit()
        self.sources_are_new()
        self.runs.attach(store)
        self.say(f"Opened {store.path.name}.")
        return True

    def close_project(self) -> None:
        """Close the project; everything is on disk already, and runs go on."""
        if self.store is None:
            return
        self.runs.detach()
        self.executor.close()
        self.show_source(None)
        self.store.close()
        self.store = None
        self._tables.clear()
        self._set_busy("")
        self.project_changed.emit()
        self.classes_changed.emit()
        self.sources_changed.emit()
        self.labels_changed.emit()

    def close(self) -> None:
        """End the session: its viewer is gone. Layers are left alone."""
        self.runs.detach()
        self.executor.close()
        if self.view is not None:
            self.view.disconnect()
            self.view = None
        if self.store is not None:
            self.store.close()
            self.store = None
        if self in _SESSIONS:
            _SESSIONS.remove(self)

    # ---- sources and labels -------------------------------------------------------

    def show_source(self, source_id: int | None) -> None:
        """Show the layers of a source instead of those shown now; None for none."""
        if self.view is not None:
            self.view.remove()
        self._source_id, self.view = source_id, None
        self.labelling.forget_tile()
        if source_id is not None:
            self.view = self._make_view(source_id)
        self.active_source_changed.emit()

    def _make_view(self, source_id: int) -> SourceView:
        store = self._require()
        source = next(entry for entry in self.sources if entry.id == source_id)
        return SourceView(
            self.viewer,
            source,
            store.images(source_id),
            self.table(source_id),
            actions=self.labelling,
            executor=self.executor,
            report=self.report,
        )

    def sources_are_new(self) -> None:
        """Read the sources and tiles again; shows a source if none is shown."""
        before = self._tables.get(self._source_id or 0)
        self._tables.clear()
        sources = self.sources
        self.sources_changed.emit()
        self.labels_changed.emit()
        self.history_changed.emit()
        shown = self.active_source
        if shown is None:
            self.show_source(sources[0].id if sources else None)
        elif before is None or not np.array_equal(before.boxes, self._tiles().boxes):
            # An import of windows, or its undoing, cut the images anew.
            self.show_source(shown.id)
        else:
            self._show_labels()

    def _tiles(self) -> TileTable:
        tiles = self.tiles
        if tiles is None:
            raise ProjectError("a source", "none", "Add images on the Data page.")
        return tiles

    def set_labels(self, rows: npt.NDArray[np.int64], states: States) -> None:
        """Label tiles of the active source.

        Parameters
        ----------
        rows
            (n,) rows of :attr:`tiles`, all different.
        states
            (n, C) of ``LabelState``.
        """
        tiles, store = self._tiles(), self._require()
        try:
            change = store.set_labels(tiles.ids[rows], states)
        except SegmixError as error:
            self.report(error)
            change = None
        if change is not None and self._source_id is not None:
            labels = tiles.labels.copy()
            labels[rows] = states
            self._tables[self._source_id] = replace(tiles, labels=labels)
        # Without a change the layer still shows what was painted: draw it again.
        self._show_labels()
        if change is not None:
            self.labels_changed.emit()
            self.history_changed.emit()

    def _show_labels(self) -> None:
        if self.view is not None and self.tiles is not None:
            self.view.show_labels(self.tiles, self.classes)

    # ---- classes ------------------------------------------------------------------

    def add_class(self, name: str, color: str | None = None) -> None:
        """Add a class; its labels are unknown everywhere."""
        self._change_class(lambda store: store.add_class(name, color))

    def rename_class(self, index: int, name: str) -> None:
        """Give a class another name."""
        self._change_class(lambda store: store.rename_class(index, name))

    def recolor_class(self, index: int, color: str) -> None:
        """Give a class another colour "#rrggbb"."""
        self._change_class(lambda store: store.recolor_class(index, color))

    def _change_class(self, change: Callable[[ProjectStore], object]) -> None:
        try:
            change(self._require())
        except SegmixError as error:
            self.report(error)
        self._classes_are_new()

    def _classes_are_new(self) -> None:
        self._tables.clear()
        self.classes_changed.emit()
        self.labels_changed.emit()
        self.history_changed.emit()
        self._show_labels()

    # ---- undo ---------------------------------------------------------------------

    def undo(self) -> None:
        """Take the last change of the project back, of labels, classes or masks."""
        self._travel(ProjectStore.undo, "Nothing to undo.")

    def redo(self) -> None:
        """Make the change that was undone last again."""
        self._travel(ProjectStore.redo, "Nothing to redo.")

    def _travel(self, way: Callable[[ProjectStore], Change | None], none: str) -> None:
        try:
            change = way(self._require())
        except SegmixError as error:
            self.report(error)
            return
        if change is None:
            self.say(none)
            return
        if change.kind == "class":
            self._classes_are_new()
        else:
            self.sources_are_new()
        self.change_undone.emit(change)
        self.say(f"{change.description}.")

    # ---- telling and waiting ------------------------------------------------------

    def say(self, sentence: str, level: str = "info") -> None:
        """Show a sentence in the status line; ``level`` info, warning or error."""
        self.message.emit(sentence, level)

    def report(self, error: BaseException) -> None:
        """Show an error: ours as it is, any other as unexpected, with a log entry."""
        if isinstance(error, SegmixError):
            self.say(str(error), "error")
            return
        _log.error("Unexpected error", exc_info=error)
        self.say(f"Unexpected error: {error or type(error).__name__}", "error")

    def in_background(
        self,
        sentence: str,
        work: Callable[[], Any],
        on_done: Callable[[Any], None],
    ) -> None:
        """Run ``work`` in a thread while ``busy`` is ``sentence``; errors are shown.

        ``work`` must not touch the viewer or widgets; ``on_done`` may.
        """
        self._set_busy(sentence)

        def done(result: Any) -> None:
            self._set_busy("")
            on_done(result)

        def failed(error: BaseException) -> None:
            self._set_busy("")
            self.report(error)

        self.executor.submit(work, on_done=done, on_error=failed)

    def _set_busy(self, sentence: str) -> None:
        self.busy = sentence
        self.busy_changed.emit()
