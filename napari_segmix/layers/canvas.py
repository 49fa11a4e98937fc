"""The viewer as actions see it: one source at a time, or none."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from napari_segmix._compat import camera
from napari_segmix.executor import Executor
from napari_segmix.layers.source_view import SourceView
from napari_segmix.model.label_edits import PaintMode
from segmix_core.intake.opening import ImageOpener
from segmix_core.project.records import ImageRecord, Source, TileTable, TissueClass

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_segmix.layers.tile_actions import TileActions


class Canvas:
    """Shows a source in a viewer; without one its methods do nothing.

    Attributes
    ----------
    viewer
        The napari viewer.
    view
        The layers of the shown source, or None.
    executor
        Reads pictures in threads.
    """

    def __init__(
        self,
        viewer: "Viewer",
        executor: Executor,
        report: Callable[[BaseException], None],
    ) -> None:
        self.viewer = viewer
        self.view: SourceView | None = None
        self.executor = executor
        self._report = report

    def show(
        self,
        source: Source,
        images: Sequence[ImageRecord],
        tiles: TileTable,
        actions: "TileActions",
        opener: ImageOpener,
    ) -> SourceView:
        """Show a source instead of the one shown now."""
        self.clear()
        self.view = SourceView(
            self.viewer,
            source,
            images,
            tiles,
            actions=actions,
            executor=self.executor,
            opener=opener,
            report=self._report,
        )
        return self.view

    def clear(self) -> None:
        """Show no source."""
        if self.view is not None:
            self.view.remove()
            self.view = None

    def disconnect(self) -> None:
        """Stop reading and listening; the layers stay in the viewer."""
        if self.view is not None:
            self.view.disconnect()
            self.view = None

    @property
    def is_painting(self) -> bool:
        """Whether a painting tool is in hand."""
        return self.view is not None and self.view.is_painting

    @property
    def is_stroking(self) -> bool:
        """Whether a painting tool is being dragged over the tiles."""
        return self.view is not None and self.view.is_stroking

    def show_labels(self, tiles: TileTable, classes: Sequence[TissueClass]) -> bool:
        """Draw labels over what was painted; False if the layers have other tiles."""
        if self.view is None:
            return True
        if not self.view.fits(tiles):
            return False
        self.view.show_labels(tiles, classes)
        return True

    def show_brush(self, tissue_class: TissueClass | None, mode: PaintMode) -> None:
        """Show what a stroke will do."""
        if self.view is not None:
            self.view.show_brush(tissue_class, mode)

    def choose_tool(self, tool: str) -> None:
        """Take a tool of the tile layer, which becomes the active layer."""
        if self.view is not None:
            self.view.choose_tool(tool)

    def mark_tile(self, row: int | None) -> None:
        """Frame a tile, or none."""
        if self.view is not None:
            self.view.mark_tile(row)

    def center_on(self, row: int) -> None:
        """Move the view to a tile."""
        if self.view is not None:
            self.view.center_on(row)

    @property
    def place(self) -> tuple[tuple[float, ...], float]:
        """Center and zoom of the camera."""
        eye = camera(self.viewer)
        return tuple(eye.center), float(eye.zoom)

    @place.setter
    def place(self, place: tuple[tuple[float, ...], float]) -> None:
        eye = camera(self.viewer)
        eye.center, eye.zoom = place
