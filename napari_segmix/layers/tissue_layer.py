"""Where a slide has tissue, in the viewer: an outline to see, an area to paint."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segmix.layers.keys import find_layer, tag
from napari_segmix.layers.placement import Placement
from napari_segmix.layers.stacking import selection_kept
from segmix_core.geometry import Box
from segmix_core.project.records import UNCHANGED

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

Bytes = npt.NDArray[np.uint8]
GLASS, TISSUE = 0, 1
ROLE = "tissue"
_COLOR = (0.0, 0.72, 0.62, 1.0)
_OUTLINE_OPACITY = 1.0
_PAINT_OPACITY = 0.4
_EVENTS = ("paint", "labels_update", "set_data")
"""A polygon emits "paint" before its pixels change, and "labels_update" after."""
_BRUSHES = 40
"""So many brushes lie along the shorter edge of a mask."""


class TissueLayer:
    """The tissue of a slide as a layer; each stroke is reported when it ends.

    Parameters
    ----------
    viewer
        The viewer.
    mask
        (H, W) bool.
    downsample
        Canvas pixels per pixel of the mask.
    placement
        Of the slide.
    source
        Its id.
    on_stroke
        Called with the changed box, in pixels of the mask, and (h, w) uint8: 1 tissue,
        0 glass, 253 where the stroke changed nothing.
    """

    def __init__(
        self,
        viewer: "Viewer",
        mask: npt.NDArray[np.bool_],
        downsample: float,
        placement: Placement,
        source: int,
        on_stroke: Callable[[Box, Bytes], None],
    ) -> None:
        from napari.utils.colormaps import DirectLabelColormap

        clear = (0.0, 0.0, 0.0, 0.0)
        colors: dict[int | None, tuple[float, ...]] = {None: clear, GLASS: clear}
        self._viewer = viewer
        self._known = mask.astype(np.uint8)
        self._on_stroke = on_stroke
        self._is_quiet = self._is_stroking = False
        with selection_kept(viewer):
            self.layer: Labels = viewer.add_labels(
                self._known.copy(),
                name="Tissue",
                metadata=tag(ROLE, source=source),
                colormap=DirectLabelColormap(color_dict={**colors, TISSUE: _COLOR}),
                **placement.transform(0, 0, downsample),
            )
        self.layer.brush_size = max(1, min(mask.shape) // _BRUSHES)
        for event in _EVENTS:
            getattr(self.layer.events, event).connect(self._on_data)
        # First, to know that the mouse is down before napari paints.
        self.layer.mouse_drag_callbacks.insert(0, self._on_drag)
        self.outline()

    @property
    def is_open(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self._viewer.layers

    def outline(self) -> None:
        """Show the border of the tissue, not to be painted."""
        self.layer.contour = 1
        self.layer.opacity = _OUTLINE_OPACITY
        self.layer.mode = "pan_zoom"
        self.layer.editable = False
        tiles = find_layer(self._viewer, "tiles")
        if tiles is not None and self._viewer.layers.selection.active is self.layer:
            self._viewer.layers.selection.active = tiles

    def paint_with(self, value: int) -> None:
        """Show the area and take the brush: 1 adds tissue, 0 erases it."""
        self.layer.contour = 0
        self.layer.opacity = _PAINT_OPACITY
        self.layer.editable = True
        self._viewer.layers.selection.active = self.layer
        self.layer.selected_label = value
        if self.layer.mode not in ("fill", "polygon"):
            self.layer.mode = "paint"

    def bind(self, keys: dict[str, Callable[[], object]]) -> None:
        """Give keys a meaning while the layer is active."""
        for key, action in keys.items():

            def press(_layer: object, action: Callable[[], object] = action) -> None:
                action()

            self.layer.bind_key(key, press, overwrite=True)

    def show(self, mask: npt.NDArray[np.bool_]) -> None:
        """Show another mask of the same shape, without telling."""
        if np.array_equal(self._known, mask):
            return
        self._is_quiet = True
        try:
            self._known[...] = mask
            self.layer.data[...] = mask
            self.layer.refresh()
        finally:
            self._is_quiet = False

    def close(self) -> None:
        """Remove the layer; every stroke was reported already."""
        for event in _EVENTS:
            getattr(self.layer.events, event).disconnect(self._on_data)
        if self._on_drag in self.layer.mouse_drag_callbacks:
            self.layer.mouse_drag_callbacks.remove(self._on_drag)
        if self.is_open:
            self._viewer.layers.remove(self.layer)

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
        if self._is_quiet:
            return
        # Other labels of napari's own controls mean tissue, too.
        painted = (np.asarray(self.layer.data) != GLASS).astype(np.uint8)
        changed = painted != self._known
        if not changed.any():
            return
        rows, cols = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
        top, left = int(rows[0]), int(cols[0])
        box = Box(top, left, int(rows[-1]) - top + 1, int(cols[-1]) - left + 1)
        part = painted[box.slices]
        values = np.where(changed[box.slices], part, np.uint8(UNCHANGED))
        self._known[box.slices] = part
        self._on_stroke(box, values)
