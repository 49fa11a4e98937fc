"""Run a stage in this process; however it ends, the last event says so."""

import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import psutil

from segmix_core.disk_errors import is_unwritable, run_error
from segmix_core.errors import SegmixError
from segmix_core.events import EndReason
from segmix_core.runs.folder import RunFolder
from segmix_core.runs.request import RunRequest
from segmix_core.runs.status import RunState
from segmix_core.runs.writer import RunWriter

EXIT_COMPLETED = 0
EXIT_UNEXPECTED = 1
EXIT_ERROR = 2
EXIT_CANCELED = 3
_NICENESS = 5
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

RunStage = Callable[[RunRequest, RunWriter], dict[str, Any]]
"""Runs a stage and returns JSON results; returns early when asked to stop."""


def run_child(folder: RunFolder, run_stage: RunStage, *, silent: bool = False) -> int:
    """Run a stage in this process and return its exit code.

    Parameters
    ----------
    folder
        The run; its request is passed to ``run_stage``.
    run_stage
        The work.
    silent
        Whether this is a worker of a run that another process reports on.

    Raises
    ------
    JobError
        If the folder is not a run, cannot be written, or another process is using it.
    """
    request = folder.request()
    if not silent and folder.state() is RunState.CANCELED:
        # Started again by hand: the old request to stop has been obeyed.
        folder.clear_stop_request()
    with RunWriter(folder, silent=silent) as writer, _stopping_on_signals(writer):
        code, reason, message, results = _attempt(run_stage, request, writer)
        writer.end(reason, message, results)
    return code


def is_first_process(environment: Mapping[str, str]) -> bool:
    """Whether this is the first process of a run, the one that reports on it.

    Reads the variables of torchrun, SLURM and Lightning's launcher.
    """
    for name in ("RANK", "SLURM_PROCID"):
        if name in environment:
            return int(environment[name]) == 0
    places = (environment.get(name, "0") for name in ("NODE_RANK", "LOCAL_RANK"))
    return all(int(place) == 0 for place in places)


def lower_priority() -> None:
    """Lower the priority, so that the viewer and other programs stay responsive."""
    process = psutil.Process()
    if sys.platform == "win32":
        process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    elif process.nice() < _NICENESS:
        process.nice(_NICENESS)


def _attempt(
    run_stage: RunStage, request: RunRequest, writer: RunWriter
) -> tuple[int, EndReason, str, dict[str, Any]]:
    try:
        results = run_stage(request, writer)
    except SegmixError as error:
        traceback.print_exc()
        return EXIT_ERROR, "failed", error.message, _about(error)
    except KeyboardInterrupt:
        return EXIT_CANCELED, "canceled", "Interrupted from the keyboard.", {}
    except OSError as error:
        traceback.print_exc()
        if not is_unwritable(error):
            return EXIT_UNEXPECTED, "failed", _unexpected(error), _kind(error)
        explained = run_error(writer.folder.path, error)
        return EXIT_ERROR, "failed", explained.message, _about(explained)
    except Exception as error:  # noqa: BLE001 - the last place that can tell the user
        traceback.print_exc()
        return EXIT_UNEXPECTED, "failed", _unexpected(error), _kind(error)
    if writer.stopped:
        return EXIT_CANCELED, "canceled", "Stopped as asked.", results
    return EXIT_COMPLETED, "completed", "", results


def _kind(error: Exception) -> dict[str, Any]:
    return {"error": type(error).__name__}


def _about(error: SegmixError) -> dict[str, Any]:
    parts = {name: getattr(error, name) for name in ("message", "hint")}
    return _kind(error) | parts


def _unexpected(error: Exception) -> str:
    return f"Unexpected error: {type(error).__name__}: {error}"


@contextmanager
def _stopping_on_signals(writer: RunWriter) -> Iterator[None]:
    # Schedulers send SIGTERM, Ctrl-C sends SIGINT; a second signal ends it at once.
    def ask(number: int, frame: FrameType | None) -> None:
        writer.ask_to_stop()
        signal.signal(number, signal.default_int_handler)

    # Python delivers signals to the main thread only.
    handled = _SIGNALS if threading.current_thread() is threading.main_thread() else ()
    former = [(number, signal.signal(number, ask)) for number in handled]
    try:
        yield
    finally:
        for number, handler in former:
            signal.signal(number, handler)
