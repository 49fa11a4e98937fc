"""The correction window: which pixels it holds, and where its strokes go."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_segmix._compat import camera
from napari_segmix.actions.background import Background
from napari_segmix.actions.mask_reading import (
    MAX_WINDOW_PX,
    read_picture,
    read_values,
)
from napari_segmix.layers.canvas import Canvas
from napari_segmix.layers.mask_layer import CorrectionWindow, close_windows
from napari_segmix.layers.mosaics import Bytes
from napari_segmix.layers.own_layers import bind_keys, find_layer
from napari_segmix.model.displayed_source import DisplayedSource
from napari_segmix.model.model import Model
from segmix_core.errors import ProjectError, SegmixError
from segmix_core.geometry import Box
from segmix_core.project.records import (
    BACKGROUND,
    IGNORE_INDEX,
    UNCHANGED,
    Change,
    SourceKind,
    TissueClass,
)

_CONTEXT = 0.5
"""Share of a tile's edge that is shown around it on a slide."""
_WINDOW_ON_SCREEN_PX = 600.0


class CorrectionActions:
    """Opens a part of a mask for painting and writes each stroke to the project.

    Parameters
    ----------
    model
        Its masks and project are changed.
    background
        Reads in threads.
    canvas
        Gets the layers.

    Attributes
    ----------
    more_keys
        Further keys of the window's layer and what they do.
    """

    opened = Signal(int, Box)
    """Image id and box on its working grid."""
    closed = Signal(int, Box, object)
    """Image id, box, and the (h, w) values as they are now."""

    def __init__(self, model: Model, background: Background, canvas: Canvas) -> None:
        self._state = model.masks
        self._project = model.project
        self._notices = model.notices
        self._background = background
        self._viewer = canvas.viewer
        self._window: CorrectionWindow | None = None
        self._base: Path | None = None
        self._brush_class: TissueClass | None = None
        self.more_keys: dict[str, Callable[[], object]] = {}

    def open_tile(self, source: DisplayedSource, base: Path | None, row: int) -> None:
        """Open a tile, on a slide with some of its surroundings, and go there."""
        image, box = source.image_of(row), source.working_box(row)
        if source.kind is SourceKind.SLIDE:
            rim = round(max(box.height, box.width) * _CONTEXT)
            wide = box.moved(-rim, -rim)
            wide = Box(wide.y, wide.x, box.height + 2 * rim, box.width + 2 * rim)
            box = wide.intersect(Box(0, 0, *image.working_shape))
        self._read(source, base, row, box, is_view=False)

    def open_view(self, source: DisplayedSource, base: Path | None) -> None:
        """Open what the viewer shows of a slide; too large a part is refused."""
        try:
            row, box = self._visible_box(source)
        except SegmixError as error:
            self._notices.report(error)
            return
        self._read(source, base, row, box, is_view=True)

    def paint_with(self, class_index: int) -> None:
        """Take a class, 0 background or 255 ignore, into the brush."""
        if class_index not in self._paintable:
            return
        self._hold(class_index)
        if self._window is not None:
            self._window.choose(class_index)
        self._state.take_brush(class_index)

    @property
    def _paintable(self) -> set[int]:
        indices = {entry.index for entry in self._project.classes}
        return indices | {BACKGROUND, IGNORE_INDEX}

    def _hold(self, class_index: int | None) -> None:
        classes = self._project.classes
        self._brush_class = next((c for c in classes if c.index == class_index), None)

    def close(self) -> None:
        """Store what was painted, and close the window."""
        self.take_edits()
        window, self._window = self._window, None
        image_id = self._state.image_id
        if window is not None:
            values = window.values
            window.close()
            self._state.close()
            self.closed.emit(image_id, window.box, values)

    def take_edits(self) -> None:
        """Store what was painted and is not stored yet."""
        if self._window is not None:
            self._window.take_edits()

    def forget(self) -> None:
        """Close the window of a source that is not shown any more."""
        self._window = None
        close_windows(self._viewer)
        self._state.close()

    def start(self) -> None:
        """Begin with the first class of another project."""
        self._hold(1)
        self._state.take_brush(1)

    def take_classes(self) -> None:
        """Take new colors and keys; put the brush down if its class is gone."""
        window, held = self._window, self._brush_class
        self._hold(self._state.brush)
        now = self._brush_class
        is_gone = held is not None and (now is None or now.since != held.since)
        if is_gone:
            self._hold(None)
        if window is not None:
            window.recolor(self._project.classes)
            bind_keys(window.layer, self._keys())
            if is_gone:
                window.put_down()
        if is_gone:
            self._state.take_brush(None)

    def read_again(self, box: Box | None = None) -> None:
        """Show what the project has of a part, e.g. after undo; None: of all."""
        store, window, image_id = (
            self._project.store,
            self._window,
            self._state.image_id,
        )
        if store is None or window is None or image_id is None:
            return
        part = window.box if box is None else box.intersect(window.box)
        if part.area:
            values = read_values(store, self._base, image_id, part)
            window.show(part, values)

    def _read(
        self,
        source: DisplayedSource,
        base: Path | None,
        row: int,
        box: Box,
        *,
        is_view: bool,
    ) -> None:
        image, store = source.image_of(row), self._project.require()
        revision, open_image = store.revision, self._background.opener.open

        def read() -> tuple[Bytes, Bytes | None]:
            values = read_values(store, base, image.id, box)
            # A slide is sharp at every zoom; a gallery shows thumbnails only.
            is_sharp = source.kind is SourceKind.SLIDE
            if is_sharp:
                return values, None
            return values, read_picture(image, box, open_image)

        def show(result: tuple[Bytes, Bytes | None]) -> None:
            if self._project.placement is not source.placement:
                return
            self.close()
            self._base = base
            self._show(source, row, box, *result)
            self._state.open(image.id, box, None if is_view else row)
            self.opened.emit(image.id, box)
            if store.revision != revision:
                # Something was painted elsewhere while this was read.
                self.read_again()
            if not is_view:
                self._look_at(source, row, box)

        self._background.run("Reading the mask…", read, show)

    def _show(
        self,
        source: DisplayedSource,
        row: int,
        box: Box,
        values: Bytes,
        picture: Bytes | None,
    ) -> None:
        y, x, step = source.canvas_origin(row)
        place = source.placement
        self._window = CorrectionWindow(
            self._viewer,
            box,
            values,
            place=place.transform(y + box.y * step, x + box.x * step, step),
            classes=self._project.classes,
            on_edit=partial(self._on_edit, source.image_of(row).id),
            picture=picture,
        )
        bind_keys(self._window.layer, self._keys())
        if self._state.brush is not None:
            self._window.choose(self._state.brush)

    def _keys(self) -> dict[str, Callable[[], object]]:
        keys: dict[str, Callable[[], object]] = {
            str(entry.index): partial(self.paint_with, entry.index)
            for entry in self._project.classes[:9]
        }
        keys["0"] = partial(self.paint_with, 0)
        keys["I"] = partial(self.paint_with, IGNORE_INDEX)
        return keys | self.more_keys

    def _look_at(self, source: DisplayedSource, row: int, box: Box) -> None:
        place, view = source.placement, camera(self._viewer)
        y, x, step = source.canvas_origin(row)
        middle = (
            y + (box.y + box.height / 2) * step,
            x + (box.x + box.width / 2) * step,
        )
        view.center = (view.center[0], *place.to_world(*middle))
        edge = max(box.height, box.width) * step * place.pixel_size
        view.zoom = _WINDOW_ON_SCREEN_PX / edge

    def _on_edit(
        self, image_id: int, box: Box, changed: npt.NDArray[np.bool_], new: Bytes
    ) -> None:
        try:
            change = self._store(image_id, box, changed, new)
        except SegmixError as error:
            self._notices.refuse(error)
            self.read_again(box)
            return
        if change is not None:
            self._project.note_change(change)

    def _store(
        self, image_id: int, box: Box, changed: npt.NDArray[np.bool_], new: Bytes
    ) -> Change | None:
        store, classes = self._project.require(), self._project.classes
        unknown = set(np.unique(new[changed]).tolist()) - self._paintable
        if unknown:
            raise ProjectError(
                f"This project has no class {min(unknown)}.",
                "Choose an existing class for the brush.",
            )
        # Pixels of the box that were not painted keep what is stored.
        values = np.where(changed, new, UNCHANGED).astype(np.uint8)
        return store.correct_mask(image_id, box, values, classes)

    def _visible_box(self, source: DisplayedSource) -> tuple[int, Box]:
        layer = find_layer(self._viewer, "tiles")
        if source.kind is not SourceKind.SLIDE or layer is None:
            raise ProjectError(
                "A folder of tiles cannot be corrected as one view.",
                "Open a tile instead.",
            )
        image = source.images[0]
        pitch = source.placement.pitch / image.downsample
        low, high = layer.corner_pixels[:, -2:]
        y, x = (max(0, int(value * pitch)) for value in low)
        bottom, right = (int((value + 1) * pitch) for value in high)
        seen = Box(y, x, max(0, bottom - y), max(0, right - x))
        box = seen.intersect(Box(0, 0, *image.working_shape))
        if max(box.height, box.width) > MAX_WINDOW_PX:
            raise ProjectError(
                f"The view has {box.height} x {box.width} mask pixels; at most "
                f"{MAX_WINDOW_PX} per side can be corrected.",
                "Zoom in.",
            )
        rows = source.rows_at(image.id, box)
        if not rows:
            raise ProjectError(
                "There are no tiles in view.", "Move the view to tissue."
            )
        return rows[0], box
