"""Where a slide has tissue, in the viewer: an outline to see, an area to paint."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_segmix.layers.own_layers import find_layer, selection_kept, tag
from napari_segmix.layers.strokes import Bytes, Strokes
from napari_segmix.model.placement import Placement
from napari_segmix.model.tissue import GLASS, TISSUE
from segmix_core.geometry import Box
from segmix_core.project.records import UNCHANGED

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

ROLE = "tissue"
_COLOR = (0.0, 0.72, 0.62, 1.0)
_OUTLINE_OPACITY = 1.0
_PAINT_OPACITY = 0.4
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
        self._report = on_stroke
        with selection_kept(viewer):
            self.layer: Labels = viewer.add_labels(
                mask.astype(np.uint8),
                name="Tissue",
                metadata=tag(ROLE, source=source),
                colormap=DirectLabelColormap(color_dict={**colors, TISSUE: _COLOR}),
                **placement.transform(0, 0, downsample),
            )
        self.layer.brush_size = max(1, min(mask.shape) // _BRUSHES)
        self._strokes = Strokes(self.layer, self._on_stroke, _as_tissue)
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

    def show(self, mask: npt.NDArray[np.bool_]) -> None:
        """Show another mask of the same shape, without a report."""
        self._strokes.show(Box(0, 0, *mask.shape), mask.astype(np.uint8))

    def take_edits(self) -> None:
        """Report the pixels that were painted since the last report."""
        self._strokes.take_edits()

    def close(self) -> None:
        """Remove the layer; every stroke was reported already."""
        self._strokes.stop()
        if self.is_open:
            self._viewer.layers.remove(self.layer)

    def _on_stroke(self, box: Box, changed: npt.NDArray[np.bool_], new: Bytes) -> None:
        self._report(box, np.where(changed, new, np.uint8(UNCHANGED)))


def _as_tissue(values: Bytes) -> Bytes:
    # Other labels of napari's own controls mean tissue, too.
    return np.asarray(values != GLASS, np.uint8)
