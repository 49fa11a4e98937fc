"""Where napari's versions (0.6.6 and newer) differ in public names."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.viewer import Viewer


def camera(viewer: "Viewer") -> Any:
    """Return the camera, which has moved to the scene in 0.9."""
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera


def scale_bar(viewer: "Viewer") -> Any:
    """Return the scale bar overlay, which has moved to the canvas in 0.9."""
    overlays = getattr(getattr(viewer, "canvas", None), "overlays", None)
    return viewer.scale_bar if overlays is None else overlays.scale_bar


def canvas_color(viewer: "Viewer") -> str:
    """Return the color behind the layers, as "#rrggbb"."""
    from napari.utils.theme import get_theme

    return str(get_theme(viewer.theme).canvas.as_hex(format="long"))
