"""The correction window: which pixels it holds, and where its strokes go."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_segmix._compat import camera
from napari_segmix.layers.keys import find_layer
from napari_segmix.layers.mask_layer import CorrectionWindow, close_windows
from napari_segmix.layers.mosaics import Bytes
from napari_segmix.mask_reading import (
    MAX_WINDOW_PX,
    Shown,
    read_picture,
    read_values,
)
from segmix_core.errors import ProjectError, SegmixError
from segmix_core.geometry import Box
from segmix_core.project.records import (
    BACKGROUND,
    IGNORE_INDEX,
    UNCHANGED,
    SourceKind,
    TissueClass,
)

if TYPE_CHECKING:
    from napari_segmix.session import Session

Keys = Callable[[], dict[str, Callable[[], object]]]

_CONTEXT = 0.5
"""Share of a tile's edge that is shown around it on a slide."""
_WINDOW_ON_SCREEN_PX = 600.0


class CorrectionControl:
    """Opens a part of a mask for painting and writes each stroke to the project.

    Parameters
    ----------
    session
        The session.
    keys
        Returns further keys of the window's layer and what they do.

    Attributes
    ----------
    brush
        Class index that the brush paints; stays the same from tile to tile. None
        after the class was taken back.
    """

    changed = Signal()
    """Another part, or none, is open."""
    brush_changed = Signal(object)
    """The brush paints another class index, or None."""
    opened = Signal(int, Box)
    """Image id and box on its working grid."""
    closed = Signal(int, Box, object)
    """Image id, box, and the (h, w) values as they are now."""

    def __init__(self, session: "Session", keys: Keys) -> None:
        self._session = session
        self._more_keys = keys
        self._window: CorrectionWindow | None = None
        self._base: Path | None = None
        self._row: int | None = None
        self._image_id = 0
        self._brush_class: TissueClass | None = None
        self.brush: int | None = 1

    @property
    def is_open(self) -> bool:
        """Whether there is something to paint on."""
        return self._window is not None

    @property
    def row(self) -> int | None:
        """Row of the open tile; None for a view or no window."""
        return self._row

    @property
    def image_id(self) -> int | None:
        """Image of the open part."""
        return self._image_id if self.is_open else None

    @property
    def box(self) -> Box | None:
        """The open part, on the working grid of its image."""
        return None if self._window is None else self._window.box

    def open_tile(self, shown: Shown, base: Path | None, row: int) -> None:
        """Open a tile, on a slide with some of its surroundings, and go there."""
        image, box = shown.image_of(row), shown.working_box(row)
        if shown.kind is SourceKind.SLIDE:
            rim = round(max(box.height, box.width) * _CONTEXT)
            wide = box.moved(-rim, -rim)
            wide = Box(wide.y, wide.x, box.height + 2 * rim, box.width + 2 * rim)
            box = wide.intersect(Box(0, 0, *image.working_shape))
        self._read(shown, base, row, box, is_view=False)

    def open_view(self, shown: Shown, base: Path | None) -> None:
        """Open what the viewer shows of a slide; too large a part is refused."""
        try:
            row, box = self._visible_box(shown)
        except SegmixError as error:
            self._session.report(error)
            return
        self._read(shown, base, row, box, is_view=True)

    def paint_with(self, class_index: int) -> None:
        """Take a class, 0 background or 255 ignore, into the brush."""
        if class_index not in self._paintable:
            return
        self._hold(class_index)
        if self._window is not None:
            self._window.choose(class_index)
        self.brush_changed.emit(class_index)

    @property
    def _paintable(self) -> set[int]:
        indices = {entry.index for entry in self._session.classes}
        return indices | {BACKGROUND, IGNORE_INDEX}

    def _hold(self, class_index: int | None) -> None:
        classes = self._session.classes
        self.brush = class_index
        self._brush_class = next((c for c in classes if c.index == class_index), None)

    def close(self) -> None:
        """Store what was painted, and close the window."""
        self.take_edits()
        window, self._window = self._window, None
        self._row = None
        if window is not None:
            values = window.values
            window.close()
            self.closed.emit(self._image_id, window.box, values)
            self.changed.emit()

    def take_edits(self) -> None:
        """Store what was painted and is not stored yet."""
        if self._window is not None:
            self._window.take_edits()

    def forget(self) -> None:
        """Close the window of a source that is not shown any more."""
        self._window = self._row = None
        close_windows(self._session.viewer)
        self.changed.emit()

    def start(self) -> None:
        """Begin with the first class of another project."""
        self._hold(1)

    def take_classes(self) -> None:
        """Take new colors and keys; put the brush down if its class is gone."""
        window, held = self._window, self._brush_class
        self._hold(self.brush)
        now = self._brush_class
        is_gone = held is not None and (now is None or now.since != held.since)
        if is_gone:
            self._hold(None)
        if window is not None:
            window.recolor(self._session.classes)
            window.bind(self._keys())
            if is_gone:
                window.put_down()
        if is_gone:
            self.brush_changed.emit(None)

    def read_again(self, box: Box | None = None) -> None:
        """Show what the project has of a part, e.g. after undo; None: of all."""
        store, window = self._session.store, self._window
        if store is None or window is None:
            return
        part = window.box if box is None else box.intersect(window.box)
        if part.area:
            values = read_values(store, self._base, self._image_id, part)
            window.show(part, values)

    def _read(
        self, shown: Shown, base: Path | None, row: int, box: Box, *, is_view: bool
    ) -> None:
        session, image = self._session, shown.image_of(row)
        store = session.require()
        revision, open_image = store.revision, session.opener.open

        def read() -> tuple[Bytes, Bytes | None]:
            values = read_values(store, base, image.id, box)
            # A slide is sharp at every zoom; a gallery shows thumbnails only.
            is_sharp = shown.kind is SourceKind.SLIDE
            if is_sharp:
                return values, None
            return values, read_picture(image, box, open_image)

        def show(result: tuple[Bytes, Bytes | None]) -> None:
            if session.placement is not shown.placement:
                return
            self.close()
            self._base, self._image_id = base, image.id
            self._row = None if is_view else row
            self._show(shown, row, box, *result)
            if store.revision != revision:
                # Something was painted elsewhere while this was read.
                self.read_again()
            if not is_view:
                self._look_at(shown, row, box)

        session.in_background("Reading the mask…", read, show)

    def _show(
        self, shown: Shown, row: int, box: Box, values: Bytes, picture: Bytes | None
    ) -> None:
        session = self._session
        y, x, step = shown.canvas_origin(row)
        self._window = CorrectionWindow(
            session.viewer,
            box,
            values,
            place=shown.placement.transform(y + box.y * step, x + box.x * step, step),
            classes=session.classes,
            on_edit=partial(self._on_edit, self._image_id),
            picture=picture,
        )
        self._window.bind(self._keys())
        if self.brush is not None:
            self._window.choose(self.brush)
        self.opened.emit(self._image_id, box)
        self.changed.emit()

    def _keys(self) -> dict[str, Callable[[], object]]:
        keys: dict[str, Callable[[], object]] = {
            str(entry.index): partial(self.paint_with, entry.index)
            for entry in self._session.classes[:9]
        }
        keys["0"] = partial(self.paint_with, 0)
        keys["I"] = partial(self.paint_with, IGNORE_INDEX)
        return keys | self._more_keys()

    def _look_at(self, shown: Shown, row: int, box: Box) -> None:
        place, view = shown.placement, camera(self._session.viewer)
        y, x, step = shown.canvas_origin(row)
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
        session = self._session
        try:
            self._store(image_id, box, changed, new)
        except SegmixError as error:
            session.report(error)
            self.read_again(box)
            session.watch.look_soon()
            return
        session.history_changed.emit()

    def _store(
        self, image_id: int, box: Box, changed: npt.NDArray[np.bool_], new: Bytes
    ) -> None:
        store, classes = self._session.require(), self._session.classes
        unknown = set(np.unique(new[changed]).tolist()) - self._paintable
        if unknown:
            raise ProjectError(
                f"This project has no class {min(unknown)}.",
                "Choose an existing class for the brush.",
            )
        # Pixels of the box that were not painted keep what is stored.
        values = np.where(changed, new, UNCHANGED).astype(np.uint8)
        store.correct_mask(image_id, box, values, classes)

    def _visible_box(self, shown: Shown) -> tuple[int, Box]:
        layer = find_layer(self._session.viewer, "tiles")
        if shown.kind is not SourceKind.SLIDE or layer is None:
            raise ProjectError(
                "A folder of tiles cannot be corrected as one view.",
                "Open a tile instead.",
            )
        image = shown.images[0]
        pitch = shown.placement.pitch / image.downsample
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
        rows = shown.rows_at(image.id, box)
        if not rows:
            raise ProjectError(
                "There are no tiles in view.", "Move the view to tissue."
            )
        return rows[0], box
