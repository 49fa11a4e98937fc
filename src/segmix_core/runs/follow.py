"""Follow a run from outside its process."""

import time
from collections.abc import Iterator

from segmix_core.events import Event, StageEnded
from segmix_core.runs.folder import RunFolder
from segmix_core.runs.status import RunState

_ALIVE_SECONDS = 1.0
_CHUNK_BYTES = 1 << 20


def follow(
    folder: RunFolder, poll_seconds: float = 0.1, offset: int = 0
) -> Iterator[list[Event]]:
    """Yield the events of a run as they come, until it ends or crashes.

    Yields an empty list if there is nothing new, so that the caller can do other
    things, such as quit. See :meth:`RunFolder.state` for the result.

    Parameters
    ----------
    folder
        The run, launched before.
    poll_seconds
        Pause between two reads of the file.
    offset
        Byte of ``events.jsonl`` to begin at; 0 includes the events before a resume.
    """
    looked = time.monotonic()
    while True:
        events, reached = folder.events(offset, _CHUNK_BYTES)
        began, offset = offset, reached
        yield events
        if events:
            if _has_ended(folder, events, began):
                return
            continue
        if reached > began:
            continue  # New bytes, but no event.
        if time.monotonic() - looked >= _ALIVE_SECONDS:
            looked = time.monotonic()
            if folder.state() is not RunState.RUNNING:
                # The last events may have come between the two reads.
                yield folder.events(offset)[0]
                return
        time.sleep(poll_seconds)


def _has_ended(folder: RunFolder, events: list[Event], began: int) -> bool:
    # In a resumed run the file also has earlier end events.
    if not any(isinstance(event, StageEnded) for event in events):
        return False
    last = folder.ended()
    return (
        last is not None and isinstance(events[-1], StageEnded) and events[-1] == last
    )
