"""All layers of one source, as one thing: picture, tile labels, grid, frame."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_segmix._compat import camera, canvas_color, scale_bar
from napari_segmix.executor import Executor, Task
from napari_segmix.layers.gallery import empty_mosaic, fill_mosaic
from napari_segmix.layers.grid_lines import (
    add_grid,
    add_mark,
    border_lines,
    move_mark,
)
from napari_segmix.layers.own_layers import (
    find_layer,
    move_below_tiles,
    remove_layers,
    selection_kept,
    tag,
)
from napari_segmix.layers.tile_actions import TileActions
from napari_segmix.layers.tile_codes import rgb
from napari_segmix.layers.tile_layer import TileLayer
from napari_segmix.model.label_edits import PaintMode
from napari_segmix.model.placement import place_gallery, place_slide
from segmix_core.errors import SegmixError, SlideError
from segmix_core.intake.opening import ImageOpener
from segmix_core.project.records import (
    ImageRecord,
    Source,
    SourceKind,
    TileTable,
    TissueClass,
)
from segmix_core.slides.first_look import ImageHeader
from segmix_core.slides.pyramid import pyramid_arrays

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from segmix_core.slides.slide import Slide

ROLES = ("image", "tiles", "grid", "mark")
_TILE_ON_SCREEN_PX = 60.0
"""Going to a tile zooms in until it is at least this large."""
_TILE_AFTER_ZOOM_PX = 160.0


class SourceView:
    """Shows one source in a viewer until it is removed.

    Attributes
    ----------
    placement
        Where its images and tiles lie.
    tile_layer
        The label grid.
    source, images
        What is shown, as it was read at that time.
    tile_ids
        (N,) int64, by row.
    """

    def __init__(
        self,
        viewer: "Viewer",
        source: Source,
        images: Sequence[ImageRecord],
        tiles: TileTable,
        *,
        actions: TileActions,
        executor: Executor,
        opener: ImageOpener,
        report: Callable[[BaseException], None],
    ) -> None:
        self._viewer = viewer
        self.source = source
        self._executor = executor
        self._report = report
        self._slide: Slide | None = None
        self._opener = opener
        self._reading: Task | None = None
        if source.kind is SourceKind.SLIDE:
            self.placement = place_slide(images[0], source.plan, tiles)
            self._add_slide(images[0])
        else:
            self.placement = place_gallery(tiles)
            self._add_gallery(images, tiles)
        self.tile_layer = TileLayer(viewer, self.placement, actions, source.id)
        occupied = self.placement.index_grid() >= 0
        self._grid = add_grid(viewer, self.placement, occupied, source.id)
        self._mark = add_mark(viewer, self.placement, source.id)
        viewer.layers.selection.active = self.tile_layer.layer
        scale_bar(viewer).visible = self.placement.unit == "um"
        viewer.reset_view()
        self.images = tuple(images)
        self.tile_ids = tiles.ids

    def fits(self, tiles: TileTable) -> bool:
        """Whether these are the tiles, row by row, that the layers were made for."""
        return np.array_equal(self.tile_ids, tiles.ids)

    def shows(self, source: Source, images: Sequence[ImageRecord]) -> bool:
        """Whether the layers show a source as it is: its files, cut and scale."""
        return source == self.source and _drawn(images) == _drawn(self.images)

    def take_tiles(self, tiles: TileTable) -> bool:
        """Show other tiles of the slide, whose view stays; whether that is possible.

        It is not for a gallery, which is made of its tiles.
        """
        if self.source.kind is not SourceKind.SLIDE:
            return False
        placement = place_slide(self.images[0], self.source.plan, tiles)
        if placement.grid_shape != self.placement.grid_shape:
            return False
        self.placement, self.tile_ids = placement, tiles.ids
        self.tile_layer.take_placement(placement)
        if self._grid in self._viewer.layers:
            self._grid.data = border_lines(placement.index_grid() >= 0)
        return True

    def _add_slide(self, image: ImageRecord) -> None:
        if self._opener.is_known(image):
            self._open_slide(image)
            return
        # A look at it may take a minute, which the window must not wait for.
        self._reading = self._executor.submit(
            partial(self._opener.look_at, [image]),
            on_done=partial(self._add_below, image),
            on_error=self._report,
        )

    def _open_slide(self, image: ImageRecord) -> None:
        try:
            slide = self._opener.open(image)
        except SegmixError as error:
            # The labels can be seen and exported without the pixels.
            self._report(error)
            return
        self._draw_slide(slide)

    def _add_below(
        self, image: ImageRecord, answers: Sequence[ImageHeader | SlideError]
    ) -> None:
        """Add the slide, which was looked at, below the other layers."""
        (answer,) = answers
        if isinstance(answer, SlideError):
            # A file that is missing is never known: it is not looked at again.
            self._report(answer)
            return
        with selection_kept(self._viewer):
            self._open_slide(image)
            layer = find_layer(self._viewer, "image", source=self.source.id)
            if layer is not None:
                move_below_tiles(self._viewer, layer)

    def _draw_slide(self, slide: "Slide") -> None:
        self._slide = slide
        self._viewer.add_image(
            pyramid_arrays(slide),
            name=self.source.name,
            metadata=tag("image", source=self.source.id),
            rgb=True,
            multiscale=True,
            **self.placement.transform(0, 0, 1),
        )

    def _add_gallery(self, images: Sequence[ImageRecord], tiles: TileTable) -> None:
        levels = empty_mosaic(self.placement, rgb(canvas_color(self._viewer)))
        layer = self._viewer.add_image(
            levels if len(levels) > 1 else levels[0],
            name=self.source.name,
            metadata=tag("image", source=self.source.id),
            rgb=True,
            multiscale=len(levels) > 1,
            **self.placement.transform(0, 0, 1),
        )
        self._reading = self._executor.submit(
            partial(
                fill_mosaic,
                levels,
                self.placement,
                images,
                tiles,
                self._opener.open,
            ),
            on_yield=lambda _count: layer.refresh(),
            on_done=partial(self._on_filled, layer),
            on_error=self._report,
        )

    def _on_filled(self, layer: "Image", failed: list[str]) -> None:
        layer.refresh()
        if failed:
            self._report(
                SegmixError(
                    f"{len(failed)} images cannot be read, such as {failed[0]}.",
                    "Their tiles stay gray. Restore the files and open the project "
                    "again.",
                )
            )

    # ---- drawing ------------------------------------------------------------------

    def show_labels(self, tiles: TileTable, classes: Sequence[TissueClass]) -> None:
        """Draw the labels as they are."""
        self.tile_layer.show(tiles, classes)

    def show_brush(self, tissue_class: TissueClass | None, mode: PaintMode) -> None:
        """Show what a stroke will do."""
        self.tile_layer.show_brush(tissue_class, mode)

    @property
    def is_painting(self) -> bool:
        """Whether a painting tool is in hand."""
        return self.tile_layer.is_painting

    @property
    def is_stroking(self) -> bool:
        """Whether a painting tool is being dragged over the tiles."""
        return self.tile_layer.is_stroking

    def choose_tool(self, tool: str) -> None:
        """Take a tool of the tile layer, which becomes the active layer."""
        self._viewer.layers.selection.active = self.tile_layer.layer
        self.tile_layer.choose_tool(tool)

    def mark_tile(self, row: int | None) -> None:
        """Frame a tile, or none."""
        if self._mark in self._viewer.layers:
            cell = None if row is None else self.placement.cells[row]
            move_mark(
                self._mark, None if cell is None else (int(cell[0]), int(cell[1]))
            )

    def center_on(self, row: int) -> None:
        """Move the view to a tile; zooms in where it would be too small to judge."""
        place, view = self.placement, camera(self._viewer)
        y, x, height, width = (float(v) for v in place.boxes[row])
        center = place.to_world(y + height / 2, x + width / 2)
        view.center = (view.center[0], *center)
        edge = max(height, width) * place.pixel_size
        if edge * view.zoom < _TILE_ON_SCREEN_PX:
            view.zoom = _TILE_AFTER_ZOOM_PX / edge

    # ---- the end ------------------------------------------------------------------

    def disconnect(self) -> None:
        """Stop reading and listening; the layers stay in the viewer."""
        if self._reading is not None:
            self._reading.quit()
        self.tile_layer.disconnect()
        if self._slide is not None:
            self._slide.close()

    def remove(self) -> None:
        """Remove the layers from the viewer and close the slide."""
        for role in ROLES:
            remove_layers(self._viewer, role, source=self.source.id)
        self.disconnect()


def _drawn(images: Sequence[ImageRecord]) -> list[object]:
    """Return what the layers depend on."""
    return [(image.id, image.path, image.mpp_y, image.mpp_x) for image in images]
