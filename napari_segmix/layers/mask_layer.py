"""Masks in the viewer: an overlay to look at and a window to correct them in."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segmix.layers.keys import find_layer, remove_layers, tag
from napari_segmix.layers.mosaics import Bytes, Mosaic
from napari_segmix.layers.placement import Placement
from napari_segmix.layers.stacking import move_below_tiles, selection_kept
from napari_segmix.layers.tile_codes import rgb
from segmix_core.geometry import Box
from segmix_core.project.records import IGNORE_INDEX, TissueClass

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

OVERLAY = "mask"
WINDOW = "mask window"
WINDOW_IMAGE = "mask window image"
OVERLAY_OPACITY = 0.5
WINDOW_OPACITY = 0.55
_IGNORE_COLOR = (0.10, 0.10, 0.12, 0.75)
_CLEAR = (0.0, 0.0, 0.0, 0.0)
_BRUSH_PX = 10
_EVENTS = ("paint", "labels_update", "set_data")
"""A polygon emits "paint" before its pixels change, and "labels_update" after."""


def show_overlay(
    viewer: "Viewer",
    mosaic: Mosaic,
    placement: Placement,
    classes: Sequence[TissueClass],
    name: str,
) -> "Labels":
    """Show masks over the picture, read only; replaces an earlier overlay."""
    place = placement.transform(mosaic.y, mosaic.x, mosaic.step)
    layer = find_layer(viewer, OVERLAY)
    if layer is None:
        with selection_kept(viewer):
            layer = viewer.add_labels(
                mosaic.pixels,
                metadata=tag(OVERLAY),
                opacity=OVERLAY_OPACITY,
                colormap=class_colormap(classes),
                **place,
            )
            move_below_tiles(viewer, layer)
    else:
        layer.data = mosaic.pixels
        layer.scale, layer.translate = place["scale"], place["translate"]
        layer.colormap = class_colormap(classes)
    layer.name = name
    layer.editable = False
    return layer


def remove_overlay(viewer: "Viewer") -> None:
    """Remove the overlay."""
    remove_layers(viewer, OVERLAY)


def class_colormap(classes: Sequence[TissueClass]) -> object:
    """Return class colours; background is clear, ignored pixels are dark."""
    from napari.utils.colormaps import DirectLabelColormap

    colors: dict[int | None, tuple[float, ...]] = {None: _CLEAR, 0: _CLEAR}
    colors[IGNORE_INDEX] = _IGNORE_COLOR
    for entry in classes:
        colors[entry.index] = (*rgb(entry.color), 1.0)
    return DirectLabelColormap(color_dict=colors)


class CorrectionWindow:
    """A part of one mask that can be painted; each stroke is reported at once.

    Napari's events differ by tool and version, and undo has none of its own; so after
    every change the pixels are compared with what was there before.

    Parameters
    ----------
    viewer
        The viewer.
    box
        The part, on the working grid of its image.
    values
        (box.height, box.width) uint8: the mask with its corrections.
    place
        ``scale``, ``translate`` and ``units`` of the layer.
    classes
        For the colours.
    on_edit
        Called with the changed box, on the working grid, which pixels of it changed,
        and their new values.
    """

    def __init__(
        self,
        viewer: "Viewer",
        box: Box,
        values: Bytes,
        *,
        place: dict[str, Any],
        classes: Sequence[TissueClass],
        on_edit: Callable[[Box, "np.ndarray[Any, np.dtype[np.bool_]]", Bytes], None],
        picture: Bytes | None = None,
    ) -> None:
        self.box = box
        self._viewer = viewer
        self._known = values.copy()
        self._on_edit = on_edit
        self._is_quiet = self._is_stroking = False
        close_windows(viewer)
        if picture is not None:
            viewer.add_image(
                picture,
                rgb=True,
                name="Tile in full",
                metadata=tag(WINDOW_IMAGE),
                **_place_of_image(place, values.shape, picture.shape[:2]),
            )
        self.layer: Labels = viewer.add_labels(
            values.copy(),
            name="Correct mask",
            metadata=tag(WINDOW),
            opacity=WINDOW_OPACITY,
            colormap=class_colormap(classes),
            **place,
        )
        self.layer.brush_size = _BRUSH_PX
        viewer.layers.selection.active = self.layer
        for event in _EVENTS:
            getattr(self.layer.events, event).connect(self._on_data)
        # First, to know that the mouse is down before napari paints.
        self.layer.mouse_drag_callbacks.insert(0, self._on_drag)

    @property
    def is_open(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self._viewer.layers

    @property
    def values(self) -> Bytes:
        """(h, w) uint8: the mask as it is painted now."""
        return np.asarray(self.layer.data)

    def bind(self, keys: dict[str, Callable[[], object]]) -> None:
        """Give keys a meaning while the window's layer is active."""
        for key, action in keys.items():

            def press(_layer: object, action: Callable[[], object] = action) -> None:
                action()

            self.layer.bind_key(key, press, overwrite=True)

    def choose(self, class_index: int) -> None:
        """Paint with a class, 0 background, or 255 ignore; takes the brush."""
        self.layer.selected_label = class_index
        if self.layer.mode in ("pan_zoom", "transform", "pick", "erase"):
            self.layer.mode = "paint"

    def show(self, box: Box, values: Bytes) -> None:
        """Show what is stored of a part, on the working grid, without telling.

        Pixels that are being painted and were not told yet stay as they are.
        """
        part = box.moved(-self.box.y, -self.box.x).slices
        self._is_quiet = True
        try:
            data, known = self.layer.data, self._known
            painted = data[part] != known[part]
            known[part] = values
            data[part] = np.where(painted, data[part], values)
            self.layer.refresh()
        finally:
            self._is_quiet = False

    def put_down(self) -> None:
        """Take the brush out of the hand: its class is gone."""
        self.layer.mode = "pan_zoom"

    def recolor(self, classes: Sequence[TissueClass]) -> None:
        """Take new class colours."""
        self.layer.colormap = class_colormap(classes)

    def close(self) -> None:
        """Report what was not reported yet, and remove the layers."""
        self.take_edits()
        for event in _EVENTS:
            getattr(self.layer.events, event).disconnect(self._on_data)
        if self.is_open:
            self._viewer.layers.remove(self.layer)
        remove_layers(self._viewer, WINDOW_IMAGE)

    def _on_drag(self, _layer: object, event: Any) -> Iterator[None]:
        self._is_stroking = True
        yield
        while event.type == "mouse_move":
            yield
        self._is_stroking = False
        self.take_edits()

    def _on_data(self, _event: object = None) -> None:
        # One stroke is one journal entry, so wait until the mouse is released.
        if not self._is_stroking:
            self.take_edits()

    def take_edits(self) -> None:
        """Report the pixels that were painted since the last report."""
        if self._is_quiet or self.values.shape != self._known.shape:
            return
        changed = self.values != self._known
        if not changed.any():
            return
        part = _bounds(changed)
        new = self.values[part.slices].copy()
        self._known[part.slices] = new
        moved = part.moved(self.box.y, self.box.x)
        self._on_edit(moved, changed[part.slices], new)


def close_windows(viewer: "Viewer") -> None:
    """Remove the layers of any correction window."""
    remove_layers(viewer, WINDOW)
    remove_layers(viewer, WINDOW_IMAGE)


def _bounds(changed: "np.ndarray[Any, np.dtype[np.bool_]]") -> Box:
    rows = np.flatnonzero(changed.any(axis=1))
    cols = np.flatnonzero(changed.any(axis=0))
    top, left = int(rows[0]), int(cols[0])
    return Box(top, left, int(rows[-1]) - top + 1, int(cols[-1]) - left + 1)


def _place_of_image(
    place: dict[str, Any], mask_shape: tuple[int, ...], shape: tuple[int, ...]
) -> dict[str, Any]:
    """Return the place of a picture with more pixels than the mask it lies under."""
    ratio = [m / s for m, s in zip(mask_shape, shape, strict=True)]
    scale = [s * r for s, r in zip(place["scale"], ratio, strict=True)]
    shift = [
        t + (new - old) / 2
        for t, new, old in zip(place["translate"], scale, place["scale"], strict=True)
    ]
    return {**place, "scale": scale, "translate": shift}
