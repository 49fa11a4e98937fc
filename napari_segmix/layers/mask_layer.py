"""The window in which a mask is corrected, and the colors of masks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segmix.layers.mosaics import Bytes
from napari_segmix.layers.own_layers import (
    remove_layers,
    tag,
)
from napari_segmix.layers.strokes import OnStroke, Strokes
from napari_segmix.layers.tile_codes import rgb
from segmix_core.geometry import Box
from segmix_core.project.records import IGNORE_INDEX, TissueClass

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

WINDOW = "mask window"
WINDOW_IMAGE = "mask window image"
WINDOW_OPACITY = 0.55
_IGNORE_COLOR = (0.10, 0.10, 0.12, 0.75)
_CLEAR = (0.0, 0.0, 0.0, 0.0)
_BRUSH_PX = 10


def class_colormap(classes: Sequence[TissueClass]) -> object:
    """Return class colors; background is clear, ignored pixels are dark."""
    from napari.utils.colormaps import DirectLabelColormap

    colors: dict[int | None, tuple[float, ...]] = {None: _CLEAR, 0: _CLEAR}
    colors[IGNORE_INDEX] = _IGNORE_COLOR
    for entry in classes:
        colors[entry.index] = (*rgb(entry.color), 1.0)
    return DirectLabelColormap(color_dict=colors)


class CorrectionWindow:
    """A part of one mask that can be painted; each stroke is reported at once.

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
        For the colors.
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
        on_edit: OnStroke,
        picture: Bytes | None = None,
    ) -> None:
        self.box = box
        self._viewer = viewer
        self._on_edit = on_edit
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
        self._strokes = Strokes(self.layer, self._on_stroke)

    @property
    def is_open(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self._viewer.layers

    @property
    def values(self) -> Bytes:
        """(h, w) uint8: the mask as it is painted now."""
        return self._strokes.values

    def choose(self, class_index: int) -> None:
        """Paint with a class, 0 background, or 255 ignore; takes the brush."""
        self.layer.selected_label = class_index
        if self.layer.mode in ("pan_zoom", "transform", "pick", "erase"):
            self.layer.mode = "paint"

    def show(self, box: Box, values: Bytes) -> None:
        """Show what is stored of a part, on the working grid, without telling.

        Pixels that are being painted and were not told yet stay as they are.
        """
        self._strokes.show(box.moved(-self.box.y, -self.box.x), values)

    def put_down(self) -> None:
        """Take the brush out of the hand: its class is gone."""
        self.layer.mode = "pan_zoom"

    def recolor(self, classes: Sequence[TissueClass]) -> None:
        """Take new class colors."""
        self.layer.colormap = class_colormap(classes)

    def close(self) -> None:
        """Report what was not reported yet, and remove the layers."""
        self.take_edits()
        self._strokes.stop()
        if self.is_open:
            self._viewer.layers.remove(self.layer)
        remove_layers(self._viewer, WINDOW_IMAGE)

    def take_edits(self) -> None:
        """Report the pixels that were painted since the last report."""
        self._strokes.take_edits()

    def _on_stroke(self, box: Box, changed: npt.NDArray[np.bool_], new: Bytes) -> None:
        self._on_edit(box.moved(self.box.y, self.box.x), changed, new)


def close_windows(viewer: "Viewer") -> None:
    """Remove the layers of any correction window."""
    remove_layers(viewer, WINDOW)
    remove_layers(viewer, WINDOW_IMAGE)


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
