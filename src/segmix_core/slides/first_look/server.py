"""The process that opens files and answers requests one by one.

It ends as soon as its caller is gone, even in the middle of a file.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psutil

from segmix_core.errors import SlideError
from segmix_core.geometry import Box
from segmix_core.slides.first_look.limits import Limits, limit_own_memory, set_alarm
from segmix_core.slides.first_look.messages import (
    DAMAGED,
    Message,
    read_message,
    write_message,
)

if TYPE_CHECKING:
    from segmix_core.slides.slide import Slide

_POLL_SECONDS = 0.5
_GRACE_SECONDS = 5.0

_LookAt = Callable[[Path], Message]


def main(caller: int) -> None:
    """Answer requests until the process ``caller`` is gone."""
    threading.Thread(target=_end_with, args=(caller,), daemon=True).start()
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # Output of libraries must not mix with the answers.
    os.dup2(2, 1)
    # Ctrl-C is for the caller, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        from segmix_core.slides import open_slide  # noqa: F401 - loads the libraries
    except (ImportError, OSError) as error:
        write_message(sink, {"failure": str(error)})
        return
    write_message(sink, {})
    message = read_message(source)
    while message is not None:
        _serve(sink, message[0])
        message = read_message(source)


def _end_with(caller: int) -> None:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(caller)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(_POLL_SECONDS)
    os._exit(0)


def _serve(sink: IO[bytes], request: dict[str, Any]) -> None:
    # Load libraries before the limits are set: one that cannot allocate its own memory
    # may hang.
    look_at: _LookAt = _look_at_header
    if request["do"] == "pixels":
        look_at = _look_at_pixels
    elif request["do"] == "tissue":
        look_at = _tissue_look(request["edge"])
    limits = [Limits(*numbers) for numbers in request["limits"]]
    if request["keeps_memory"]:
        limit_own_memory(max(limit.memory for limit in limits))
    for text, limit in zip(request["paths"], limits, strict=True):
        set_alarm(limit.seconds + _GRACE_SECONDS)
        write_message(sink, *_try(look_at, Path(text), limit))
    set_alarm(0)


def _try(look_at: _LookAt, path: Path, limits: Limits) -> Message:
    try:
        return look_at(path)
    except SlideError as found:
        error = found
    except MemoryError:
        error = limits.memory_error(path)
    except Exception as found:  # noqa: BLE001 - what libraries raise for damaged files
        kind = type(found).__name__
        error = SlideError(f"{path.name} cannot be read ({kind}: {found}).", DAMAGED)
    return {"error": (error.message, error.hint, error.reason)}, b""


def _look_at_header(path: Path) -> Message:
    from segmix_core.slides.open_slide import open_slide

    with contextlib.closing(open_slide(path)) as slide:
        return _header_of(slide)


def _look_at_pixels(path: Path) -> Message:
    from segmix_core.slides.open_slide import open_slide

    with contextlib.closing(open_slide(path)) as slide:
        for level, (height, width) in enumerate(slide.level_shapes):
            # Truncated files lack the last pixel.
            slide.read_level(level, Box(height - 1, width - 1, 1, 1))
        return _header_of(slide)


def _header_of(slide: "Slide") -> Message:
    height, width = slide.level_shapes[0]
    facts = {
        "height": height,
        "width": width,
        "mpp_yx": slide.mpp_yx,
        "bounds": slide.bounds and astuple(slide.bounds),
        "notes": slide.notes,
        "size_notes": slide.size_notes,
    }
    return facts, b""


def _read_all_levels(slide: "Slide") -> None:
    """Read the pixel in the middle of each level."""
    for level, (height, width) in enumerate(slide.level_shapes):
        slide.read_level(level, Box(height // 2, width // 2, 1, 1))


def _tissue_look(smallest_edge: int) -> _LookAt:
    from segmix_core.slides.open_slide import open_slide
    from segmix_core.slides.tissue import find_tissue

    def look_at(path: Path) -> Message:
        with contextlib.closing(open_slide(path)) as slide:
            _read_all_levels(slide)
            found = find_tissue(slide, smallest_edge)
        facts = {
            "shape": found.mask.shape,
            "downsample": found.downsample,
            "doubtful": found.doubtful,
        }
        return facts, found.mask.tobytes()

    return look_at


if __name__ == "__main__":
    main(int(sys.argv[1]))
