"""The session: what one viewer works on.

There is one :class:`Session` per viewer. It owns the store, the runs, the callbacks
and the work in threads, and survives closing and reopening the dock. Pages of the
dock listen to its signals and call its verbs; nothing else connects them.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from psygnal import EmitLoopError, Signal

from napari_segmix._compat import camera
from napari_segmix.executor import Executor, ThreadExecutor
from napari_segmix.intake_control import IntakeControl
from napari_segmix.labelling import Labelling
from napari_segmix.layers.source_view import SourceView
from napari_segmix.mask_control import MaskControl
from napari_segmix.notices import own_error
from napari_segmix.picture_control import PictureControl
from napari_segmix.preferences import read_preferences
from napari_segmix.project_opening import ProjectOpening
from napari_segmix.project_state import SCOPE_TEXTS, ProjectState
from napari_segmix.project_watch import ProjectWatch
from napari_segmix.rescue_control import RescueControl
from napari_segmix.run_control import RunControl
from napari_segmix.tissue_control import TissueControl
from segmix_core.errors import SegmixError
from segmix_core.intake.opening import ImageOpener
from segmix_core.project.drafts import check_known_classes
from segmix_core.project.records import Change, Scope, Source, TileTable, TissueClass
from segmix_core.project.store import ProjectStore
from segmix_core.runs import RunFolder, launch
from segmix_core.slides.first_look import FirstLookPool

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


class Session(ProjectState):
    """The project that is open in a viewer, and what is selected in it.

    Attributes
    ----------
    viewer
        The napari viewer.
    store, view, tables, executor, busy
        See :class:`ProjectState` and :class:`Notices`.
    looks
        :class:`FirstLookPool`: opens files that may crash, in another process.
    opener
        :class:`ImageOpener`: opens images of the project for layers.
    intake
        :class:`IntakeControl`: add slides and folders, import labels.
    labelling
        :class:`Labelling`: brush, current tile, label edits, next unlabelled tile.
    runs
        :class:`RunControl`: start, stop, follow and re-attach to runs; it has signals
        of its own.
    pictures
        :class:`PictureControl`: shuffled batches and CAMs of runs as layers.
    masks
        :class:`MaskControl`: mask overlay, correction window and review.
    tissue
        :class:`TissueControl`: the tissue of the shown slide, and its correction.
    watch
        :class:`ProjectWatch`: shows what other programs change.
    opening
        :class:`ProjectOpening`: opens projects without blocking the window.
    rescue
        :class:`RescueControl`: checks, repairs and restores projects.
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
    page_requested = Signal(str)
    """Show a page of the dock, by its title."""

    def __init__(self, viewer: "Viewer", executor: Executor | None = None) -> None:
        super().__init__(executor or ThreadExecutor())
        self.viewer = viewer
        self._is_closed = False
        self.looks = FirstLookPool(lambda: read_preferences().python)
        self.opener = ImageOpener(self.looks.borrow)
        self.intake = IntakeControl(self)
        self.labelling = Labelling(self)
        self.runs = RunControl(_launch_as_preferred)
        self.pictures = PictureControl(self)
        self.masks = MaskControl(self)
        self.tissue = TissueControl(self)
        self.watch = ProjectWatch(self)
        self.opening = ProjectOpening(self.executor)
        self.rescue = RescueControl(self)

    # ---- projects -----------------------------------------------------------------

    def new_project(self, path: Path, class_names: Sequence[str]) -> bool:
        """Create a project in a new folder and open it; whether that worked."""
        self._cancel_opening()
        try:
            store = ProjectStore.create(path, class_names)
        except SegmixError as error:
            self.report(error)
            return False
        return self._take(store)

    def open_project(self, path: Path) -> bool:
        """Open a project folder and wait for it; whether that worked.

        Its first source is shown, and its runs are followed again.
        """
        self._cancel_opening()
        try:
            store = ProjectStore.open(path)
        except SegmixError as error:
            self._refuse(path, error)
            return False
        return self._take(store)

    def open_in_background(
        self, path: Path, on_open: Callable[[], object] | None = None
    ) -> None:
        """Open a project folder as open_project does, without blocking the window.

        ``on_open`` is called when it is open and shown.
        """
        self.show_busy(f"Opening {path.name}…")

        def done(store: ProjectStore) -> None:
            self.set_idle()
            if self._take(store) and on_open is not None:
                on_open()

        def failed(error: BaseException) -> None:
            self.set_idle()
            self._refuse(path, error)

        self.opening.begin(path, done, failed)

    def _cancel_opening(self) -> None:
        if self.opening.cancel():
            self.set_idle()

    def _refuse(self, path: Path, error: BaseException) -> None:
        self.report(error)
        own = own_error(error)
        if own is not None:
            self.rescue.note_failure(path, own)

    def _take(self, store: ProjectStore) -> bool:
        """Show a project instead of the open one; closed again if it is damaged."""
        self.close_project()
        self.store = store
        self.opener = ImageOpener(self.looks.borrow)
        # Adding is what comes next, or files have changed: both need it.
        self.looks.warm()
        try:
            self._read_classes()
            self.say(f"Opened {store.path.name}.")
            self.project_changed.emit()
            self.classes_changed.emit()
            self.sources_are_new()
        except (SegmixError, EmitLoopError) as error:
            self.close_project()
            self._refuse(store.path, error)
            return False
        self.runs.attach(store)
        self.intake.check_files()
        return True

    def close_project(self) -> None:
        """Close the project; everything is on disk already, and runs go on."""
        self._cancel_opening()
        if self.store is None:
            return
        self.tissue.finish()
        self.executor.close()
        # From here on nobody can ask the store, which may be too damaged to answer.
        store, self.store = self.store, None
        self.runs.detach()
        self._read_classes()
        self.tables.forget()
        self.show_source(None)
        store.close()
        self.set_idle()
        self.project_changed.emit()
        self.classes_changed.emit()
        self.sources_changed.emit()
        self.labels_changed.emit()
        self.history_changed.emit()

    def close(self) -> None:
        """End the session: its viewer is gone. Layers are left alone."""
        if self._is_closed:
            return
        self._is_closed = True
        self.watch.stop()
        self.opening.cancel()
        self.rescue.forget()
        self.runs.detach()
        self.tissue.finish()
        self.executor.close()
        self.looks.close()
        if self.view is not None:
            self.view.disconnect()
            self.view = None
        if self.store is not None:
            self.store.close()
            self.store = None
        self._source_id = None
        if self in _SESSIONS:
            _SESSIONS.remove(self)

    # ---- sources ------------------------------------------------------------------

    def show_source(self, source_id: int | None) -> None:
        """Show the layers of a source instead of those shown now; None for none."""
        source = None
        if source_id is not None:
            source = next((s for s in self.sources if s.id == source_id), None)
            if source is None:
                self.say("This source is no longer in the project.", "warning")
                self.sources_are_new()
                return
        if self.view is not None:
            self.view.remove()
        self._source_id, self.view = source_id, None
        self.labelling.forget_tile()
        if source is not None:
            self.view = self._make_view(source)
            self.show_labels()
            self.labelling.show_brush()
        self.active_source_changed.emit()

    def _make_view(self, source: Source) -> SourceView:
        return SourceView(
            self.viewer,
            source,
            self.require().images(source.id),
            self.tables.get(source.id),
            actions=self.labelling,
            executor=self.executor,
            opener=self.opener,
            report=self.report,
        )

    def _show_again(self, source: Source) -> None:
        """Make the layers of a source anew, at the same place."""
        before, eye = self.view, camera(self.viewer)
        center, zoom, tile_id = eye.center, eye.zoom, self._current_tile_id()
        self.show_source(source.id)
        if before is None or self.view is None:
            return
        if self.view.placement.pixel_size == before.placement.pixel_size:
            eye.center, eye.zoom = center, zoom
        self._choose_tile_again(tile_id)

    def _show_new_tiles(self, source: Source, tiles: TileTable) -> None:
        """Show tiles of a source that were cut anew, in its layers where possible."""
        tile_id = self._current_tile_id()
        if self.view is None or not self.view.take_tiles(tiles):
            self._show_again(source)
            return
        self.labelling.forget_rows()
        self.active_source_changed.emit()
        self.view.show_labels(tiles, self.classes)
        self._choose_tile_again(tile_id)

    def _current_tile_id(self) -> int | None:
        row = self.labelling.current_tile
        return (
            None if row is None or self.view is None else int(self.view.tile_ids[row])
        )

    def _choose_tile_again(self, tile_id: int | None) -> None:
        if tile_id is not None and self.tiles is not None:
            rows = np.flatnonzero(self.tiles.ids == tile_id)
            if len(rows):
                self.labelling.choose_tile(int(rows[0]))

    def refresh(self, kinds: Collection[str]) -> None:
        """Read again what changes of these kinds, of :data:`ChangeKind`, touch."""
        if "class" in kinds:
            self._show_classes()
        if not _SOURCE_KINDS.isdisjoint(kinds):
            self.sources_are_new()
        elif "labels" in kinds:
            self.tables.catch_up()
            self.labels_are_new()
        else:
            self.history_changed.emit()
        if "file" in kinds:
            self.intake.check_files()

    def _show_classes(self) -> None:
        before = [entry.since for entry in self._classes]
        self._read_classes()
        if before == [entry.since for entry in self._classes]:
            self.tables.catch_up()
        else:
            # The tables have a column for each class that was shown before.
            self.tables.forget()
        self.classes_changed.emit()
        self.labels_are_new()
        self.labelling.show_brush()

    def sources_are_new(self) -> None:
        """Read the sources and tiles again; shows a source if none is shown."""
        self.tables.catch_up()
        self.sources_changed.emit()
        shown, view = self.active_source, self.view
        if shown is None:
            self.show_source(self.sources[0].id if self.sources else None)
        elif view is None or not view.shows(shown, self.require().images(shown.id)):
            self._show_again(shown)
        self.labels_are_new()

    def labels_are_new(self) -> None:
        """Draw the labels, and tell that they and the journal changed."""
        self.show_labels()
        self.labels_changed.emit()
        self.history_changed.emit()

    def show_labels(self) -> None:
        """Draw the labels as they are stored, over what was painted."""
        if self.view is None or self.tiles is None:
            return
        source = self.active_source
        if self.view.fits(self.tiles):
            self.view.show_labels(self.tiles, self.classes)
        elif source is not None:
            # Windows were imported, tissue was corrected, or that was undone.
            self._show_new_tiles(source, self.tiles)

    # ---- classes ------------------------------------------------------------------

    def add_class(self, name: str, color: str | None = None) -> None:
        """Add a class; its labels are unknown everywhere."""
        try:
            self.require().add_class(name, color)
        except SegmixError as error:
            self.report(error)
        self._show_classes()

    def rename_class(
        self, index: int, name: str, known: Sequence[TissueClass] | None = None
    ) -> None:
        """Give the class that has an index in ``known`` another name.

        ``known`` are the classes as the caller shows them; None: :attr:`classes`.
        """
        self._change_class(lambda store: store.rename_class(index, name), index, known)

    def recolor_class(
        self, index: int, color: str, known: Sequence[TissueClass] | None = None
    ) -> None:
        """Give a class another color "#rrggbb"; ``known`` as in rename_class."""
        self._change_class(
            lambda store: store.recolor_class(index, color), index, known
        )

    def _change_class(
        self,
        change: Callable[[ProjectStore], object],
        index: int,
        known: Sequence[TissueClass] | None,
    ) -> None:
        try:
            store = self.require()
            with store.atomic():
                # Another program may have given the index to another class.
                known = self.classes if known is None else known
                check_known_classes(known, store.classes(), [index])
                change(store)
        except SegmixError as error:
            self.report(error)
        self._show_classes()

    # ---- undo ---------------------------------------------------------------------

    def undo(self, scope: Scope) -> None:
        """Take the last change of labels, classes and images, or of masks, back."""
        self._step_history(partial(ProjectStore.undo, scope=scope), "undo", scope)

    def redo(self, scope: Scope) -> None:
        """Make the change of a scope that was undone last again."""
        self._step_history(partial(ProjectStore.redo, scope=scope), "redo", scope)

    def _step_history(
        self, step: Callable[[ProjectStore], Change | None], verb: str, scope: Scope
    ) -> None:
        try:
            change = step(self.require())
        except SegmixError as error:
            self.report(error)
            self.watch.look_soon()
            return
        if change is None:
            self.say(f"There is nothing to {verb} in {SCOPE_TEXTS[scope]}.")
            return
        self.refresh({change.kind})
        self.change_undone.emit(change)
        self.say(f"{change.description}.")


_SOURCE_KINDS = frozenset({"source", "split", "mpp", "file", "tissue"})
