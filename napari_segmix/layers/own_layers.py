"""Our own layers: found by a key in their metadata, since users rename layers."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

KEY = "segmix"


def tag(role: str, **facts: object) -> dict[str, dict[str, object]]:
    """Return layer metadata that says what a layer is for.

    ``role`` names the layer's part, e.g. "tiles"; ``facts`` tell layers of one role
    apart, e.g. ``source=3``.
    """
    return {KEY: {"role": role, **facts}}


def facts_of(layer: "Layer") -> dict[str, Any]:
    """Return what :func:`tag` wrote, or an empty dictionary for other layers."""
    content = layer.metadata.get(KEY, {})
    return content if isinstance(content, dict) else {}


def find_layers(viewer: "Viewer", role: str, **facts: object) -> "list[Layer]":
    """Return the viewer's layers of a role that match all ``facts``, bottom first."""
    wanted = {"role": role, **facts}.items()
    return [layer for layer in viewer.layers if wanted <= facts_of(layer).items()]


def find_layer(viewer: "Viewer", role: str, **facts: object) -> "Layer | None":
    """Return the lowest matching layer, or None."""
    found = find_layers(viewer, role, **facts)
    return found[0] if found else None


def remove_layers(viewer: "Viewer", role: str, **facts: object) -> None:
    """Remove all matching layers from the viewer."""
    for layer in find_layers(viewer, role, **facts):
        viewer.layers.remove(layer)


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


def bind_keys(layer: "Layer", keys: Mapping[str, Callable[[], object]]) -> None:
    """Give keys a meaning while a layer is active; it goes before napari's own."""
    for key, action in keys.items():

        def press(_layer: object, action: Callable[[], object] = action) -> None:
            action()

        layer.bind_key(key, press, overwrite=True)
