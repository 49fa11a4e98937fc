"""Start and control the process that opens files."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from segmix_core.disk_errors import reason_of
from segmix_core.errors import JobError, SlideError
from segmix_core.slides.first_look.limits import HAS_MEMORY_LIMIT, Limits
from segmix_core.slides.first_look.messages import (
    DAMAGED,
    Message,
    read_message,
    write_message,
)

_START_SECONDS = 60.0
_POLL_SECONDS = 0.2
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Answer = Message | SlideError


class Worker:
    """A process that serves until :meth:`kill`, or until a file crashes it.

    Parameters
    ----------
    python
        Interpreter with SegMix installed; None: the running one.

    Raises
    ------
    JobError
        From here and :meth:`answers`, if it cannot be started.
    """

    def __init__(self, python: str | Path | None) -> None:
        try:
            self._process = subprocess.Popen(
                _command(python),
                env=_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise _start_error(reason_of(error)) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self.has_ended = False
        self._is_ready = False
        self._changed = threading.Condition()
        self._watched: tuple[float, Limits] | None = None
        self._broken_limit = ""
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def is_alive(self) -> bool:
        """Whether the process runs; others may have ended it while it waited."""
        return not self.has_ended and self._process.poll() is None

    def answers(self, do: str, paths: Sequence[Path], edge: int) -> Iterator[Answer]:
        """Yield the answer for each file, up to the first that crashes the process."""
        if not self._is_ready:
            self._await_start()
        limits = [Limits.of(path) for path in paths]
        request = {
            "do": do,
            "edge": edge,
            "paths": [str(path) for path in paths],
            "limits": [(limit.seconds, limit.memory) for limit in limits],
            "keeps_memory": HAS_MEMORY_LIMIT,
        }
        # If the process has ended meanwhile, reading the answer notices it.
        with contextlib.suppress(OSError):
            write_message(self._stdin, request)
        for path, limit in zip(paths, limits, strict=True):
            message = self._receive(limit)
            if message is None:
                yield self._end_error(path, limit)
                return
            facts, _ = message
            yield _error_of(*facts["error"]) if "error" in facts else message

    def kill(self) -> None:
        """End the process now."""
        with self._changed:
            self.has_ended = True
            self._process.kill()
            self._changed.notify()
        self._process.wait()
        for pipe in (self._stdin, self._stdout):
            # Unwritten data has no reader any more.
            with contextlib.suppress(OSError):
                pipe.close()

    def _await_start(self) -> None:
        message = self._receive(Limits(_START_SECONDS, sys.maxsize))
        if message is None:
            reason = f"exit code {self._process.returncode}"
            if self._broken_limit:
                reason = f"no answer in {_START_SECONDS:.0f} seconds"
            raise _start_error(reason)
        if "failure" in message[0]:
            self.kill()
            raise _start_error(message[0]["failure"])
        self._is_ready = True

    def _receive(self, limits: Limits) -> Message | None:
        """Read the next message; None if the process ended or was killed."""
        with self._changed:
            self._watched = time.monotonic() + limits.seconds, limits
            self._changed.notify()
        message = read_message(self._stdout)
        with self._changed:
            self._watched = None
        if message is None:
            self.kill()
        return message

    def _watch(self) -> None:
        while True:
            with self._changed:
                # No timeout: a process that waits for work costs nothing.
                self._changed.wait_for(lambda: self._watched or self.has_ended)
            time.sleep(_POLL_SECONDS)
            with self._changed:
                if self.has_ended:
                    return
                if self._watched is not None:
                    self._broken_limit = self._find_broken_limit(*self._watched)
                    if self._broken_limit:
                        self._process.kill()
                        return

    def _find_broken_limit(self, deadline: float, limits: Limits) -> str:
        if time.monotonic() > deadline:
            return "time"
        if not HAS_MEMORY_LIMIT and self._memory() > limits.memory:
            return "memory"
        return ""

    def _memory(self) -> int:
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def _end_error(self, path: Path, limits: Limits) -> SlideError:
        if self._broken_limit == "time":
            return limits.time_error(path)
        if self._broken_limit == "memory":
            return limits.memory_error(path)
        return SlideError(
            f"{path.name} crashes the library that reads it "
            f"({_cause(self._process.returncode)}).",
            DAMAGED,
        )


def _command(python: str | Path | None) -> list[str]:
    if python is None and getattr(sys, "frozen", False):
        # The executable is the application itself; starting it opens another window.
        raise _start_error("this application does not include Python")
    # -P: do not import modules from the current folder.
    interpreter = str(python or sys.executable)
    module = "segmix_core.slides.first_look.server"
    return [interpreter, "-P", "-m", module, str(os.getpid())]


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("QT_")}
    # One thread per core is slow to start on large machines, and useless here.
    return {**kept, **dict.fromkeys(_THREAD_VARIABLES, "1"), "PYTHONUTF8": "1"}


def _error_of(message: str, hint: str, reason: str) -> SlideError:
    error = SlideError(message, hint)
    error.reason = reason
    return error


def _start_error(reason: str) -> JobError:
    return JobError(
        f"The process that opens images cannot be started: {reason}.",
        "Choose a Python with SegMix in the napari preferences; check it with 'segmix "
        "doctor'.",
    )


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code:#x}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
