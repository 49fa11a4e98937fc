"""Words for runs: what they do, how they are, how long they take."""

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_segmix.model.run_info import RunInfo

_STATES = {
    "created": ("not started", "#8a93a0"),
    "running": ("running", "#5aa9e6"),
    "completed": ("completed", "#2fbf8f"),
    "canceled": ("stopped", "#8a93a0"),
    "failed": ("failed", "#e5484d"),
    "interrupted": ("interrupted", "#e69f00"),
    "damaged": ("damaged", "#e5484d"),
}


def state_text(info: "RunInfo") -> str:
    """Return how a run is, in a word or two."""
    text = _STATES[info.state][0]
    if info.is_running and info.total:
        text = f"{text}, {100 * info.step // info.total} %"
    return text


def state_color(info: "RunInfo") -> str:
    """Return a color "#rrggbb" for how a run is."""
    return _STATES[info.state][1]


def moment_text(seconds: float) -> str:
    """Return a moment, seconds since the epoch, as short local time."""
    return f"{datetime.fromtimestamp(seconds):%d %b, %H:%M}"


def duration_text(seconds: float) -> str:
    """Return a duration as "40 s", "3 min" or "2 h 5 min"."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def size_text(size: int) -> str:
    """Return a size in bytes as "12 kB" or "3.4 MB"."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"


def progress_text(info: "RunInfo") -> str:
    """Return step and time left, or what is done between two steps.

    "step 12 of 80, 3 min left", "masks for the next network: tile 5 of 90".
    """
    parts = [f"step {info.step} of {info.total}"] if info.total else ["starting"]
    if info.is_running and info.seconds_left is not None:
        parts.append(f"{duration_text(info.seconds_left)} left")
    elif info.is_running and info.message:
        # Nobody knows how long it takes, so it says how far it is.
        return info.message
    return ", ".join(parts)
