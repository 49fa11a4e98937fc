"""Opening image files for the first time, in a process that may crash.

Image libraries are written in C: a damaged or hostile file can end the process that
opens it, or keep it busy for hours. :class:`FirstLook` is the caller's side. Run as a
module, this file is the other side: it answers one request after the other, and ends
when its caller is gone. Both speak JSON, with bytes behind it, over pipes.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np
import psutil

from segmix_core.errors import JobError, SlideError
from segmix_core.geometry import Box, mean_mpp

if TYPE_CHECKING:
    from segmix_core.slides.tissue import TissueMask

_SECONDS = 60.0
_BYTES_PER_SECOND = 5_000_000
"""A file may take a minute, and longer the larger it is: disks can be slow."""
_MEMORY = 2 * 2**30
_MEMORY_PER_BYTE = 64
"""A file may take 2 GiB of memory, and more the larger it is: images without smaller
levels are decoded as a whole."""
_MEMORY_SHARE = 0.75
"""But never more than this share of the machine's memory."""
_START_SECONDS = 60.0
_GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.2
_BATCH = 64
"""Files of one request."""
_HAS_MEMORY_LIMIT = sys.platform == "linux"
"""Other systems have no limit of a process's memory, or do not keep it."""
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_DAMAGED = "The file is damaged. Copy it again from its source, or leave it out."

_Message = tuple[dict[str, Any], bytes]
_Answer = _Message | SlideError
_Look = Callable[[Path], _Message]


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What is known of an image without its pixels; see ``Slide``."""

    path: Path
    height: int
    width: int
    mpp_yx: tuple[float, float] | None
    bounds: Box | None
    notes: tuple[str, ...]
    size_notes: tuple[str, ...] = ()

    @property
    def mpp(self) -> float | None:
        """Geometric mean of ``mpp_yx``, in µm."""
        return mean_mpp(self.mpp_yx)


@dataclass(frozen=True, slots=True)
class _Limits:
    """Seconds, and bytes of memory, that a file may take."""

    seconds: float
    memory: int

    @classmethod
    def of(cls, path: Path) -> Self:
        size = 0
        with contextlib.suppress(OSError):
            size = path.stat().st_size
        memory = min(_most_memory(), _MEMORY + _MEMORY_PER_BYTE * size)
        return cls(_SECONDS + size / _BYTES_PER_SECOND, memory)


@cache
def _most_memory() -> int:
    return int(psutil.virtual_memory().total * _MEMORY_SHARE)


class FirstLook:
    """A process that opens image files in place of this one.

    It starts at once, serves many files, and is replaced after a file that ended it.
    It ends with :meth:`close`, which a ``with`` statement calls, or with this process.
    For one thread at a time.

    Parameters
    ----------
    python
        Interpreter that has SegMix; default is the one that runs now.

    Raises
    ------
    JobError
        Here and by all methods, if the process cannot be started.
    """

    def __init__(self, python: str | Path | None = None) -> None:
        self._command = _command(python)
        self._worker: _Worker | None = _Worker(self._command)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; closing twice is harmless."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None

    def headers(self, paths: Sequence[Path]) -> Iterator[ImageHeader | SlideError]:
        """Yield the header of each file in turn, or the error that there was."""
        answers = self._answers("header", paths)
        for path, answer in zip(paths, answers, strict=True):
            if isinstance(answer, SlideError):
                yield answer
            else:
                yield _header(path, answer[0])

    def header(self, path: Path) -> ImageHeader:
        """Return what the header of a file says.

        Raises
        ------
        SlideError
            If the file cannot be used, ends the process, or takes too much time or
            memory.
        """
        facts, _ = self._answer("header", path)
        return _header(path, facts)

    def damages(self, paths: Sequence[Path]) -> Iterator[SlideError | None]:
        """Yield for each file in turn why its pixels cannot be read, or None.

        The last pixel of each level is read: files that were cut short lack it.
        """
        for answer in self._answers("pixels", paths):
            yield answer if isinstance(answer, SlideError) else None

    def tissue(self, path: Path, smallest_edge: int) -> "TissueMask":
        """Return where a slide has tissue; all levels are read from.

        Parameters
        ----------
        path
            A slide.
        smallest_edge
            As for :func:`segmix_core.slides.tissue.find_tissue`.

        Raises
        ------
        SlideError
            As :meth:`header`.
        """
        from segmix_core.slides.tissue import TissueMask

        facts, data = self._answer("tissue", path, smallest_edge)
        mask = np.frombuffer(data, np.bool_).reshape(facts["shape"])
        return TissueMask(mask, facts["downsample"], facts["doubtful"])

    def _answer(self, do: str, path: Path, edge: int = 0) -> _Message:
        (answer,) = self._answers(do, [path], edge)
        if isinstance(answer, SlideError):
            raise answer
        return answer

    def _answers(
        self, do: str, paths: Sequence[Path], edge: int = 0
    ) -> Iterator[_Answer]:
        done = 0
        try:
            while done < len(paths):
                worker = self._worker = self._worker or _Worker(self._command)
                for answer in worker.answers(do, paths[done : done + _BATCH], edge):
                    done += 1
                    yield answer
                if worker.has_ended:
                    self._worker = None
        finally:
            # What nobody fetched must not be taken for the answer to another request.
            if done < len(paths):
                self.close()


class _Worker:
    """The process, as its caller sees it."""

    def __init__(self, command: Sequence[str]) -> None:
        try:
            self._process = subprocess.Popen(
                command,
                env=_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise _start_error(error.strerror or str(error)) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self.has_ended = False
        self._is_ready = False
        self._lock = threading.Lock()
        self._watched: tuple[float, _Limits] | None = None
        self._broken_limit = ""
        threading.Thread(target=self._watch, daemon=True).start()

    def answers(self, do: str, paths: Sequence[Path], edge: int) -> Iterator[_Answer]:
        """Yield the answer for each file, up to the first that ends the process."""
        if not self._is_ready:
            self._await_start()
        limits = [_Limits.of(path) for path in paths]
        request = {
            "do": do,
            "edge": edge,
            "paths": [str(path) for path in paths],
            "limits": [(limit.seconds, limit.memory) for limit in limits],
            "keeps_memory": _HAS_MEMORY_LIMIT,
        }
        # A process that has ended meanwhile is noticed when its answer does not come.
        with contextlib.suppress(OSError):
            _write(self._stdin, request)
        for path, limit in zip(paths, limits, strict=True):
            message = self._receive(limit)
            if message is None:
                yield self._end_error(path, limit)
                return
            facts, _ = message
            yield _error_of(*facts["error"]) if "error" in facts else message

    def kill(self) -> None:
        """End the process now."""
        with self._lock:
            self.has_ended = True
            self._process.kill()
        self._process.wait()
        for pipe in (self._stdin, self._stdout):
            # What was not written yet has no reader any more.
            with contextlib.suppress(OSError):
                pipe.close()

    def _await_start(self) -> None:
        message = self._receive(_Limits(_START_SECONDS, sys.maxsize))
        if message is None:
            reason = f"exit code {self._process.returncode}"
            if self._broken_limit:
                reason = f"no answer in {_START_SECONDS:.0f} seconds"
            raise _start_error(reason)
        if "failure" in message[0]:
            self.kill()
            raise _start_error(message[0]["failure"])
        self._is_ready = True

    def _receive(self, limits: _Limits) -> _Message | None:
        """Return the next message; None if the process ended, or was ended, instead."""
        with self._lock:
            self._watched = time.monotonic() + limits.seconds, limits
        message = _read(self._stdout)
        with self._lock:
            self._watched = None
        if message is None:
            self.kill()
        return message

    def _watch(self) -> None:
        while not self.has_ended:
            time.sleep(_POLL_SECONDS)
            with self._lock:
                if self._watched is not None and not self.has_ended:
                    self._broken_limit = self._find_broken_limit(*self._watched)
                    if self._broken_limit:
                        self._process.kill()
                        return

    def _find_broken_limit(self, deadline: float, limits: _Limits) -> str:
        if time.monotonic() > deadline:
            return "time"
        if not _HAS_MEMORY_LIMIT and self._memory() > limits.memory:
            return "memory"
        return ""

    def _memory(self) -> int:
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def _end_error(self, path: Path, limits: _Limits) -> SlideError:
        if self._broken_limit == "time":
            return _time_error(path, limits)
        if self._broken_limit == "memory":
            return _memory_error(path, limits)
        return _crash_error(path, self._process.returncode)


def _command(python: str | Path | None) -> list[str]:
    if python is None and getattr(sys, "frozen", False):
        # Its executable is the application: started again, it opens another window.
        raise _start_error("this application does not include Python")
    # -P: a module must not come from the folder that happens to be the current one.
    interpreter = str(python or sys.executable)
    module = "segmix_core.slides.first_look"
    return [interpreter, "-P", "-m", module, str(os.getpid())]


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("QT_")}
    # A thread a core takes long to start on large machines, and is of no use here.
    return {**kept, **dict.fromkeys(_THREAD_VARIABLES, "1"), "PYTHONUTF8": "1"}


def _write(pipe: IO[bytes], facts: dict[str, Any], data: bytes = b"") -> None:
    text = json.dumps({**facts, "bytes": len(data)}, ensure_ascii=False)
    pipe.write(text.encode("utf-8", "surrogateescape") + b"\n" + data)
    pipe.flush()


def _read(pipe: IO[bytes]) -> _Message | None:
    """Return the next message; None at the end, or if what comes is no message."""
    try:
        line = pipe.readline().decode("utf-8", "surrogateescape")
        facts: dict[str, Any] = json.loads(line)
        data = pipe.read(facts.pop("bytes"))
    except (OSError, ValueError):
        return None
    return facts, data


def _header(path: Path, facts: dict[str, Any]) -> ImageHeader:
    return ImageHeader(
        path=path,
        height=facts["height"],
        width=facts["width"],
        mpp_yx=facts["mpp_yx"] and tuple(facts["mpp_yx"]),
        bounds=facts["bounds"] and Box(*facts["bounds"]),
        notes=tuple(facts["notes"]),
        size_notes=tuple(facts["size_notes"]),
    )


def _error_of(problem: str, remedy: str, reason: str) -> SlideError:
    error = SlideError(problem, remedy)
    error.reason = reason
    return error


def _start_error(reason: str) -> JobError:
    return JobError(
        f"The process that opens images cannot be started: {reason}.",
        "Choose a Python with SegMix in the napari preferences; check it with 'segmix "
        "doctor'.",
    )


def _time_error(path: Path, limits: _Limits) -> SlideError:
    return SlideError(
        f"{path.name} could not be read within {limits.seconds:.0f} seconds.",
        "The file is damaged or its disk is slow. Copy it to this computer again.",
    )


def _memory_error(path: Path, limits: _Limits) -> SlideError:
    return SlideError(
        f"{path.name} needs more than {limits.memory / 2**30:.3g} GB of memory.",
        "The file is damaged, or a large image without a pyramid. Save it as a "
        "pyramidal TIFF (QuPath, or vips tiffsave --pyramid --tile).",
    )


def _crash_error(path: Path, code: int) -> SlideError:
    return SlideError(
        f"{path.name} crashes the library that reads it ({_cause(code)}).",
        _DAMAGED,
    )


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code:#x}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


# ---- the process itself ------------------------------------------------------------


def main(caller: int) -> None:
    """Answer requests until the process ``caller`` is gone."""
    threading.Thread(target=_end_with, args=(caller,), daemon=True).start()
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What libraries print must not come between the answers.
    os.dup2(2, 1)
    # A keyboard interrupt is for the caller, who ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        from segmix_core.slides import open_slide  # noqa: F401 - loads the libraries
    except (ImportError, OSError) as error:
        _write(sink, {"failure": str(error)})
        return
    _write(sink, {})
    message = _read(source)
    while message is not None:
        _serve(sink, message[0])
        message = _read(source)


def _end_with(caller: int) -> None:
    """End this process with its caller, whatever it is busy with."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(caller)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(_POLL_SECONDS)
    os._exit(0)


def _serve(sink: IO[bytes], request: dict[str, Any]) -> None:
    # What it loads comes before the limits: a library that cannot have its own memory
    # may hang.
    look: _Look = _look_at_header
    if request["do"] == "tissue":
        look = _tissue_look(request["edge"])
    elif request["do"] == "pixels":
        look = _look_at_pixels
    limits = [_Limits(*numbers) for numbers in request["limits"]]
    if request["keeps_memory"]:
        _limit_memory(max(limit.memory for limit in limits))
    for text, limit in zip(request["paths"], limits, strict=True):
        _set_alarm(limit.seconds + _GRACE_SECONDS)
        _write(sink, *_try(look, Path(text), limit))
    _set_alarm(0)


def _try(look: _Look, path: Path, limits: _Limits) -> _Message:
    try:
        return look(path)
    except SlideError as found:
        error = found
    except MemoryError:
        error = _memory_error(path, limits)
    except Exception as found:  # noqa: BLE001 - what libraries raise for damaged files
        kind = type(found).__name__
        error = SlideError(f"{path.name} cannot be read ({kind}: {found}).", _DAMAGED)
    return {"error": (error.problem, error.remedy, error.reason)}, b""


def _set_alarm(seconds: float) -> None:
    # The system's own alarm ends a process in which no other thread gets to run.
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit_memory(more: int) -> None:
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    wanted = pages * resource.getpagesize() + more
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, most))


def _look_at_header(path: Path) -> _Message:
    from segmix_core.slides.open_slide import open_slide

    with contextlib.closing(open_slide(path)) as slide:
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


def _look_at_pixels(path: Path) -> _Message:
    from segmix_core.slides.open_slide import open_slide

    with contextlib.closing(open_slide(path)) as slide:
        for level, (height, width) in enumerate(slide.level_shapes):
            slide.read_level(level, Box(height - 1, width - 1, 1, 1))
    return {}, b""


def _tissue_look(smallest_edge: int) -> _Look:
    from segmix_core.slides.open_slide import open_slide
    from segmix_core.slides.tissue import find_tissue

    def look(path: Path) -> _Message:
        with contextlib.closing(open_slide(path)) as slide:
            for level, (height, width) in enumerate(slide.level_shapes):
                slide.read_level(level, Box(height // 2, width // 2, 1, 1))
            found = find_tissue(slide, smallest_edge)
        facts = {
            "shape": found.mask.shape,
            "downsample": found.downsample,
            "doubtful": found.doubtful,
        }
        return facts, found.mask.tobytes()

    return look


if __name__ == "__main__":
    main(int(sys.argv[1]))
