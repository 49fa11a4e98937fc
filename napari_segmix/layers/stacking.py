"""Adding layers of results below the tile labels without taking the user's tool."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_segmix.layers.keys import find_layer

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer


@contextmanager
def selection_kept(viewer: "Viewer") -> Iterator[None]:
    """Make the layer that is active now active again: napari selects new layers."""
    active = viewer.layers.selection.active
    yield
    if active is not None and active in viewer.layers:
        viewer.layers.selection.active = active


def move_below_tiles(viewer: "Viewer", layer: "Layer") -> None:
    """Move a new layer, which lies on top, below the tile labels."""
    tiles = find_layer(viewer, "tiles")
    if tiles is not None:
        viewer.layers.move(viewer.layers.index(layer), viewer.layers.index(tiles))
