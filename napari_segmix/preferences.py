"""What the user set in napari's preferences for SegMix."""

from dataclasses import dataclass
from typing import Any

PLUGIN = "napari-segmix"


@dataclass(frozen=True, slots=True)
class Preferences:
    """Settings of the plugin.

    Attributes
    ----------
    python
        Interpreter of the job processes; None is the one napari runs in.
    threads
        CPU threads of a job; 0 leaves one core to the window.
    tile_px
        Edge of the tiles of new sources, in pixels; 0 chooses by the images.
    """

    python: str | None = None
    threads: int = 0
    tile_px: int = 0


def read_preferences() -> Preferences:
    """Return the preferences; the defaults where napari (before 0.9) has no page."""
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return Preferences()
    try:
        settings = get_plugin_settings(PLUGIN)
    except (KeyError, ValueError, AttributeError):
        # The plugin is used from a script without being registered.
        return Preferences()
    jobs: Any = getattr(settings, "jobs", None)
    images: Any = getattr(settings, "images", None)
    return Preferences(
        python=getattr(jobs, "python", "") or None,
        threads=int(getattr(jobs, "cpu_threads", 0) or 0),
        tile_px=int(getattr(images, "tile_px", 0) or 0),
    )
