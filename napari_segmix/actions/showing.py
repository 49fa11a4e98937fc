"""Which source is in the viewer, and keeping it and the model up to date."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import numpy as np

from napari_segmix.actions.background import Background
from napari_segmix.layers.canvas import Canvas
from napari_segmix.model.changes import Topic
from napari_segmix.model.model import Model
from segmix_core.project.records import Source, TileTable

if TYPE_CHECKING:
    from napari_segmix.layers.tile_actions import TileActions

_SOURCE_KINDS = frozenset({"source", "split", "mpp", "file", "tissue"})


class Showing:
    """Reads again what changed, and shows it.

    Attributes
    ----------
    tile_actions
        What the tile layer calls; set before a source is shown.
    check_files
        Looks for images whose files changed.
    """

    tile_actions: "TileActions"
    check_files: Callable[[], None]

    def __init__(self, model: Model, background: Background, canvas: Canvas) -> None:
        self._changes = model.changes
        self._project = model.project
        self._labeling = model.labeling
        self._notices = model.notices
        self._background = background
        self._canvas = canvas
        model.changes.happened.connect(self._on_change)

    # ---- the source ---------------------------------------------------------------

    def show_source(self, source_id: int | None) -> None:
        """Show the layers of a source instead of those shown now; None for none."""
        project = self._project
        source = None
        if source_id is not None:
            # Another program may have taken it back, which is not shown yet.
            stored = project.require().sources()
            source = next((s for s in stored if s.id == source_id), None)
            if source is None:
                text = "This source is no longer in the project."
                self._notices.say(text, "warning")
                self.reload_sources()
                return
        self._canvas.clear()
        project.source_id, project.placement = source_id, None
        self._labeling.take_tool("pan")
        self._labeling.forget_rows()
        if source is not None:
            self._draw(source)
        self._changes.note(Topic.SHOWN)

    def show_anew(self, source_id: int) -> None:
        """Show a source whose files are others than those that were read."""
        self._project.reload_sources()
        self.show_source(source_id)
        self._project.reload_history()

    def _draw(self, source: Source) -> None:
        project, canvas = self._project, self._canvas
        tiles = project.tables.get(source.id)
        images = project.images_of(source.id)
        view = canvas.show(
            source, images, tiles, self.tile_actions, self._background.opener
        )
        project.placement = view.placement
        canvas.show_labels(tiles, project.classes)
        self._show_brush()

    def _show_again(self, source: Source) -> None:
        """Make the layers of a source anew, at the same place."""
        before, place = self._project.placement, self._canvas.place
        tile_id = self._current_tile_id()
        self.show_source(source.id)
        now = self._project.placement
        if before is None or now is None:
            return
        if now.pixel_size == before.pixel_size:
            self._canvas.place = place
        self._choose_tile_again(tile_id)

    def _show_new_tiles(self, source: Source, tiles: TileTable) -> None:
        """Show tiles of a source that were cut anew, in its layers where possible."""
        tile_id, view = self._current_tile_id(), self._canvas.view
        if view is None or not view.take_tiles(tiles):
            self._show_again(source)
            return
        self._project.placement = view.placement
        self._canvas.mark_tile(None)
        self._labeling.forget_rows()
        self._changes.note(Topic.SHOWN)
        view.show_labels(tiles, self._project.classes)
        self._choose_tile_again(tile_id)

    def _current_tile_id(self) -> int | None:
        row, view = self._labeling.current_tile, self._canvas.view
        return None if row is None or view is None else int(view.tile_ids[row])

    def _choose_tile_again(self, tile_id: int | None) -> None:
        tiles = self._project.tiles
        if tile_id is not None and tiles is not None:
            rows = np.flatnonzero(tiles.ids == tile_id)
            if len(rows):
                self._canvas.mark_tile(int(rows[0]))
                self._labeling.choose_tile(int(rows[0]))

    # ---- what is new --------------------------------------------------------------

    def refresh(self, kinds: Collection[str]) -> None:
        """Read again what changes of these kinds, of :data:`ChangeKind`, touch."""
        if "class" in kinds:
            self.reload_classes()
        if not _SOURCE_KINDS.isdisjoint(kinds):
            self.reload_sources()
        else:
            if "labels" in kinds:
                self._project.reload_labels()
            self._project.reload_history()
        if "file" in kinds:
            self.check_files()

    def reload_classes(self) -> None:
        """Read the classes again, after one was added or changed."""
        with self._changes.together():
            self._project.reload_classes()
            self._changes.note(Topic.LABELS)
            self._project.reload_history()

    def reload_sources(self) -> None:
        """Read the sources and tiles again; shows a source if none is shown."""
        project, view = self._project, self._canvas.view
        project.reload_sources()
        shown = project.active_source
        if shown is None:
            self.show_source(project.sources[0].id if project.sources else None)
        elif view is None or not view.shows(shown, project.images_of(shown.id)):
            self._show_again(shown)
        with self._changes.together():
            self._changes.note(Topic.LABELS)
            project.reload_history()

    def show_labels(self) -> None:
        """Draw the labels as they are stored, over what was painted."""
        project = self._project
        source, tiles = project.active_source, project.tiles
        if tiles is None or source is None:
            return
        if not self._canvas.show_labels(tiles, project.classes):
            # Windows were imported, tissue was corrected, or that was undone.
            self._show_new_tiles(source, tiles)

    def _show_brush(self) -> None:
        labeling = self._labeling
        self._canvas.show_brush(labeling.tissue_class, labeling.paint_mode)

    def _on_change(self, topics: frozenset[Topic]) -> None:
        if Topic.LABELS in topics:
            self.show_labels()
        if Topic.BRUSH in topics:
            self._show_brush()
