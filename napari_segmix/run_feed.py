"""What a worker thread reads from a run folder; it reads, sleeps and yields."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from segmix_core.errors import JobError
from segmix_core.events import Event, PreviewWritten
from segmix_core.runs import RunFolder, follow, load_preview
from segmix_core.runs.previews import Preview

SECONDS_BETWEEN = 0.1
"""Least time between two deliveries: more would only keep the window busy."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """News of a run: its events and, by content, the newest picture and its step."""

    events: list[Event] = field(default_factory=list)
    previews: dict[str, tuple[int, Preview]] = field(default_factory=dict)


def follow_run_which_goes_on_without_napari(
    folder: RunFolder,
) -> Iterator[Delivery]:
    """Yield the news of a run at most every ``SECONDS_BETWEEN`` until it ends.

    Empty deliveries come too, so that a worker can be told to quit. napari shows the
    name of this function when its window is closed while a run is followed.
    """
    waiting: list[Event] = []
    due = time.monotonic()
    for events in follow(folder, poll_seconds=SECONDS_BETWEEN):
        waiting += events
        if time.monotonic() >= due:
            yield _delivery(folder, waiting)
            waiting, due = [], time.monotonic() + SECONDS_BETWEEN
    yield _delivery(folder, waiting)


def _delivery(folder: RunFolder, events: list[Event]) -> Delivery:
    newest = {e.content: e for e in events if isinstance(e, PreviewWritten)}
    previews = {}
    for content, event in newest.items():
        try:
            path = folder.previews_path / Path(event.path).name
            previews[content] = event.step, load_preview(path)
        except JobError:
            # Only the newest stay on disk; the history names the others as well.
            continue
    return Delivery(events, previews)
