"""What is open in a session, to be read by everyone and changed by the session."""

from pathlib import Path
from typing import TYPE_CHECKING

from napari_segmix.executor import Executor
from napari_segmix.label_edits import LabelCounts
from napari_segmix.notices import Notices
from napari_segmix.tile_tables import TileTables, fitted
from segmix_core.errors import ProjectError
from segmix_core.project.readiness import check_tables
from segmix_core.project.records import Scope, Source, TileTable, TissueClass

if TYPE_CHECKING:
    from napari_segmix.layers.placement import Placement
    from napari_segmix.layers.source_view import SourceView
    from segmix_core.project.store import ProjectStore

SCOPE_TEXTS: dict[Scope, str] = {
    "labels": "labels, classes and images",
    "masks": "masks and reviews",
}
"""What is undone together, in words."""


class ProjectState(Notices):
    """The open project and the source that is shown.

    Attributes
    ----------
    store
        The open project, or None. Changes go through the session's verbs, which keep
        the pages and layers in step.
    view
        The layers of the active source, or None.
    tables
        Tiles by source, labels up to date.
    """

    def __init__(self, executor: Executor) -> None:
        super().__init__(executor)
        self.store: ProjectStore | None = None
        self.view: SourceView | None = None
        self._classes: tuple[TissueClass, ...] = ()
        self._source_id: int | None = None
        self.tables = TileTables(
            self._read_tiles,
            lambda: self.require().revision,
            lambda revision: self.require().tile_changes(revision),
        )

    @property
    def project_path(self) -> Path | None:
        """Folder of the open project."""
        return None if self.store is None else self.store.path

    @property
    def classes(self) -> tuple[TissueClass, ...]:
        """Classes of the project as they are shown, by index 1..C; or empty.

        An edit of a class that another program took back meanwhile is refused by the
        store: it compares these with its own.
        """
        return self._classes

    def _read_tiles(self, source_id: int) -> TileTable:
        return fitted(self.require().tiles(source_id), len(self._classes))

    def _read_classes(self) -> None:
        self._classes = () if self.store is None else self.store.classes()

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
        return None if self._source_id is None else self.tables.get(self._source_id)

    @property
    def label_counts(self) -> LabelCounts:
        """Labels of the whole project."""
        ids = [source.id for source in self.sources]
        return self.tables.count(ids, len(self.classes))

    def counts_of(self, source_id: int) -> LabelCounts:
        """Return the labels of one source."""
        return self.tables.count([source_id], len(self.classes))

    def check_trainable(self) -> None:
        """Raise unless the labels in memory can train a classifier.

        Raises
        ------
        ProjectError
            As :func:`segmix_core.project.readiness.check_trainable`.
        """
        images = self.require().images()
        tables = [self.tables.get(source.id) for source in self.sources]
        check_tables(self.classes, tables, images)

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
