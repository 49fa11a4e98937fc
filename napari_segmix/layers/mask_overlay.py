"""The mask overlay of a source: whole masks, read only, kept up to date."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_segmix.layers.mask_layer import class_colormap
from napari_segmix.layers.mosaics import Bytes, Mosaic, resize_nearest
from napari_segmix.layers.own_layers import (
    find_layer,
    move_below_tiles,
    remove_layers,
    selection_kept,
    tag,
)
from napari_segmix.model.placement import Placement
from segmix_core.geometry import Box
from segmix_core.project.records import IGNORE_INDEX, TissueClass

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

ROLE = "mask"
OPACITY = 0.5


class MaskOverlay:
    """Draws a mosaic of masks and changes parts of it."""

    def __init__(self, viewer: "Viewer") -> None:
        self._viewer = viewer
        self._mosaic: Mosaic | None = None
        self._placement: Placement | None = None
        self._name = ""

    def draw(
        self,
        mosaic: Mosaic,
        placement: Placement,
        classes: Sequence[TissueClass],
        name: str,
    ) -> None:
        """Show masks; replaces those shown before."""
        self._mosaic, self._placement, self._name = mosaic, placement, name
        _show(self._viewer, mosaic, placement, classes, name)

    def recolor(self, classes: Sequence[TissueClass]) -> None:
        """Take new class colors."""
        shown = find_layer(self._viewer, ROLE) is not None
        if shown and self._mosaic is not None and self._placement is not None:
            self.draw(self._mosaic, self._placement, classes, self._name)

    def remove(self) -> None:
        """Show no masks."""
        self._mosaic = None
        remove_layers(self._viewer, ROLE)

    def paste(
        self, origin: tuple[float, float, float], box: Box, values: Bytes
    ) -> None:
        """Draw a part of a mask anew; ignored pixels outside tiles stay clear.

        Parameters
        ----------
        origin
            Canvas y, x of the mask's corner and the edge of its pixels.
        box
            The part, in pixels of the mask.
        values
            (box.height, box.width) uint8.
        """
        layer = find_layer(self._viewer, ROLE)
        if layer is None or self._mosaic is None:
            return
        mosaic = self._mosaic
        ratio = origin[2] / mosaic.step
        top = round((origin[0] - mosaic.y) / mosaic.step + box.y * ratio)
        left = round((origin[1] - mosaic.x) / mosaic.step + box.x * ratio)
        height, width = round(box.height * ratio), round(box.width * ratio)
        place = mosaic.pixels[max(0, top) : top + height, max(0, left) : left + width]
        if place.size:
            new = resize_nearest(values, place.shape)
            outside = (new == IGNORE_INDEX) & (place == 0)
            place[:] = np.where(outside, place, new)
            layer.refresh()


def _show(
    viewer: "Viewer",
    mosaic: Mosaic,
    placement: Placement,
    classes: Sequence[TissueClass],
    name: str,
) -> "Labels":
    place = placement.transform(mosaic.y, mosaic.x, mosaic.step)
    layer = find_layer(viewer, ROLE)
    if layer is None:
        with selection_kept(viewer):
            layer = viewer.add_labels(
                mosaic.pixels,
                metadata=tag(ROLE),
                opacity=OPACITY,
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
