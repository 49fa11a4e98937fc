"""The open project as it is shown: read once, told when it changes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import numpy.typing as npt

from napari_segmix.model.changes import Changes, Topic
from napari_segmix.model.label_edits import LabelCounts, States
from napari_segmix.model.tile_tables import TileTables, fitted
from segmix_core.errors import ProjectError
from segmix_core.project.readiness import check_tables
from segmix_core.project.records import (
    Change,
    ImageRecord,
    Scope,
    Source,
    SourceKind,
    TileTable,
    TissueClass,
    scope_of,
)

if TYPE_CHECKING:
    from napari_segmix.model.placement import Placement
    from segmix_core.project.store import ProjectStore

SCOPE_TEXTS: dict[Scope, str] = {
    "labels": "labels, classes and images",
    "masks": "masks and reviews",
}
"""What is undone together, in words."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Whether there is a change of a scope to undo, and one to redo."""

    can_undo: bool = False
    can_redo: bool = False


class ProjectState:
    """The open project, and the source that is shown.

    Attributes
    ----------
    store
        The open project, or None. Only actions change it, and note what they changed.
    classes
        By index 1..C, as they are shown. An edit of a class that another program took
        back meanwhile is refused by the store: it compares these with its own.
    sources, images
        Slides and folders, and all their images.
    tables
        Tiles by source, labels up to date.
    source_id
        Of the source that is shown, or None.
    placement
        Where the tiles of the shown source lie in the viewer, or None.
    history
        By scope, what undo and redo can do.
    last_changes
        By kind, the revision of the last change.
    revision
        Of the last change of any kind.
    changed_files
        Images whose files are others now than when they were added.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self.store: ProjectStore | None = None
        self.source_id: int | None = None
        self.placement: Placement | None = None
        self.changed_files: tuple[ImageRecord, ...] = ()
        self.tables = TileTables(
            self._read_tiles,
            lambda: self.require().revision,
            lambda revision: self.require().tile_changes(revision),
        )
        self._forget()

    def _forget(self) -> None:
        self.classes: tuple[TissueClass, ...] = ()
        self.sources: tuple[Source, ...] = ()
        self.images: tuple[ImageRecord, ...] = ()
        self.history: dict[Scope, Steps] = dict.fromkeys(get_args(Scope), Steps())
        self.last_changes: dict[str, int] = {}
        self.revision = 0
        self.changed_files = ()
        self.tables.forget()

    # ---- what is open -------------------------------------------------------------

    @property
    def path(self) -> Path | None:
        """Folder of the open project."""
        return None if self.store is None else self.store.path

    def require(self) -> "ProjectStore":
        """Return the open project.

        Raises
        ------
        ProjectError
            If none is open.
        """
        if self.store is None:
            raise ProjectError(
                "No project is open.", "Open or create one on the Data page."
            )
        return self.store

    def take(self, store: "ProjectStore | None") -> None:
        """Show another project, or none; nothing of the former is kept."""
        self._forget()
        self.store = store
        if store is not None:
            self.classes = store.classes()
            self._read_sources()
            self._read_history()

    # ---- what is shown ------------------------------------------------------------

    @property
    def active_source(self) -> Source | None:
        """The source whose layers are shown."""
        return next((s for s in self.sources if s.id == self.source_id), None)

    @property
    def shows_slide(self) -> bool:
        """Whether a slide is shown, not a folder of tiles."""
        source = self.active_source
        return source is not None and source.kind is SourceKind.SLIDE

    @property
    def tiles(self) -> TileTable | None:
        """Tiles of the active source, labels up to date; rows index tiles."""
        return None if self.source_id is None else self.tables.get(self.source_id)

    @property
    def label_counts(self) -> LabelCounts:
        """Labels of the whole project."""
        ids = [source.id for source in self.sources]
        return self.tables.count(ids, len(self.classes))

    def counts_of(self, source_id: int) -> LabelCounts:
        """Return the labels of one source."""
        return self.tables.count([source_id], len(self.classes))

    def images_of(self, source_id: int) -> tuple[ImageRecord, ...]:
        """Return the images of a source."""
        return tuple(image for image in self.images if image.source_id == source_id)

    def pixel_size(self, source_id: int) -> tuple[float, float] | None:
        """Return µm per pixel (y, x) of a source; None if unknown or not one size."""
        sizes = {(image.mpp_y, image.mpp_x) for image in self.images_of(source_id)}
        y, x = sizes.pop() if len(sizes) == 1 else (None, None)
        return None if y is None or x is None else (y, x)

    def check_trainable(self) -> None:
        """Raise unless the labels in memory can train a classifier.

        Raises
        ------
        ProjectError
            As :func:`segmix_core.project.readiness.check_trainable`.
        """
        self.require()
        tables = [self.tables.get(source.id) for source in self.sources]
        check_tables(self.classes, tables, self.images)

    # ---- what changes -------------------------------------------------------------

    def note_labels(
        self, change: Change, rows: npt.NDArray[np.int64], states: States
    ) -> None:
        """Note labels of the shown source that were stored.

        Parameters
        ----------
        change
            What the store returned.
        rows
            (n,) rows of :attr:`tiles`.
        states
            (n, C) of LabelState or KEEP.
        """
        assert self.source_id is not None
        self.tables.put_labels(self.source_id, rows, states)
        with self._changes.together():
            self._changes.note(Topic.LABELS)
            self.note_change(change)

    def note_change(self, change: Change) -> None:
        """Note that this program has made a change, which is not an undo."""
        self.revision = self.last_changes[change.kind] = change.id
        self.history[scope_of(change.kind)] = Steps(can_undo=True)
        self._changes.note(Topic.HISTORY)

    def note_files(self, changed: tuple[ImageRecord, ...]) -> None:
        """Note which files are others now."""
        self.changed_files = changed
        self._changes.note(Topic.FILES)

    def reload_history(self) -> None:
        """Read again what the journal says."""
        self._read_history()
        self._changes.note(Topic.HISTORY)

    def reload_classes(self) -> None:
        """Read the classes again."""
        before = [entry.since for entry in self.classes]
        self.classes = () if self.store is None else self.store.classes()
        if before == [entry.since for entry in self.classes]:
            self.tables.catch_up()
        else:
            # The tables have a column for each class that was shown before.
            self.tables.forget()
        self._changes.note(Topic.CLASSES)

    def reload_sources(self) -> None:
        """Read sources, images and tiles again."""
        self._read_sources()
        self.tables.catch_up()
        self._changes.note(Topic.SOURCES)

    def reload_labels(self) -> None:
        """Take labels that were not set through this model."""
        self.tables.catch_up()
        self._changes.note(Topic.LABELS)

    def _read_tiles(self, source_id: int) -> TileTable:
        return fitted(self.require().tiles(source_id), len(self.classes))

    def _read_sources(self) -> None:
        if self.store is not None:
            self.sources, self.images = self.store.sources(), self.store.images()

    def _read_history(self) -> None:
        store = self.store
        if store is None:
            return
        self.last_changes = store.last_changes()
        self.revision = store.revision
        for scope in self.history:
            self.history[scope] = Steps(store.can_undo(scope), store.can_redo(scope))
