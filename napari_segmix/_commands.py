"""Commands of menus and of the command palette."""

from typing import TYPE_CHECKING

from napari_segmix.preferences import PLUGIN

if TYPE_CHECKING:
    # napari fills a parameter of this very annotation.
    import napari.viewer

WIDGET = "SegMix"


def open_dock(napari_viewer: "napari.viewer.Viewer") -> None:
    """Show the dock; the one that is there, if there is one."""
    napari_viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)


def label_tiles(napari_viewer: "napari.viewer.Viewer") -> None:
    """Show the dock at its Label page."""
    from napari_segmix.session import session_for

    open_dock(napari_viewer)
    session_for(napari_viewer).page_requested.emit("Label")
