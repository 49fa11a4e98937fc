"""Start a run as a separate process, and kill it."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from segmix_core.cores import default_threads, let_idle_threads_sleep
from segmix_core.disk_errors import reason_of, run_error
from segmix_core.errors import JobError
from segmix_core.events import StageEnded
from segmix_core.files import open_for_append, printable
from segmix_core.process_mark import mark_process
from segmix_core.runs.event_log import EventAppender
from segmix_core.runs.folder import RunFolder
from segmix_core.runs.lock import locked
from segmix_core.runs.request import RunRequest
from segmix_core.runs.status import RunState, RunStatus
from segmix_core.runs.writer import write_status

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_EXIT_SECONDS = 5.0
_PID_SECONDS = 3.0
_MAX_THREADS = 4096


def launch(
    folder: RunFolder,
    python: str | Path | None = None,
    command: Sequence[str] | None = None,
) -> int:
    """Start or restart the process of a run, and return its pid immediately.

    The process outlives this one. A restarted run resumes from its last checkpoint and
    appends its events to the earlier ones.

    Parameters
    ----------
    folder
        The run; removes an old request to stop.
    python
        Interpreter with SegMix and torch; by default the running one.
    command
        Replaces the whole command line, for example to use a scheduler.

    Raises
    ------
    JobError
        If the run is already running, or the process cannot be started.
    """
    request = folder.request()
    check_not_running(folder)
    line = list(command or job_command(request.stage, folder, python))
    environment = job_environment(os.environ, request)
    try:
        process, starting = _start(folder, line, environment)
    except OSError as error:
        raise run_error(folder.path, error) from error
    # Somebody has to wait for a child, or it stays as a zombie after its end.
    threading.Thread(
        target=_wait, args=(process, folder, starting), daemon=True
    ).start()
    return process.pid


def _start(
    folder: RunFolder, line: list[str], environment: dict[str, str]
) -> tuple[subprocess.Popen[bytes], RunStatus]:
    """Start the process; return it, and the status that was written for it."""
    with locked(folder.path):
        # Check again: another program may have started it since.
        check_not_running(folder)
        former = _last_status(folder)
        folder.clear_stop_request()
        starting = _starting(folder, former)
        write_status(folder, starting)
        try:
            process = _popen(line, folder, environment)
        except OSError as error:
            with contextlib.suppress(OSError):  # Only the first error matters.
                write_status(folder, former)
            raise JobError(
                f"{line[0]} cannot be started ({reason_of(error)}).",
                "Choose a Python with SegMix and torch; check it with 'segmix doctor'.",
            ) from error
        with contextlib.suppress(psutil.NoSuchProcess):
            starting = replace(starting, launched=mark_process(process.pid))
        write_status(folder, starting)
    return process, starting


def check_not_running(folder: RunFolder) -> None:
    """Check that a run can be started or restarted.

    Raises
    ------
    JobError
        If it is running.
    """
    if folder.state() is RunState.RUNNING:
        raise JobError(
            f"The run {printable(folder.name)} is already running.",
            "Stop it first, or start a new run.",
        )


def job_command(
    stage: str, folder: RunFolder, python: str | Path | None = None
) -> list[str]:
    """Return the command line of a run's process."""
    # -P: a file in a project from someone else must not shadow a module.
    interpreter = str(python or sys.executable)
    return [interpreter, "-P", "-m", "segmix_core", stage, str(folder.path.absolute())]


def job_environment(
    environment: Mapping[str, str], request: RunRequest
) -> dict[str, str]:
    """Return the environment of a run's process: no Qt, UTF-8, threads capped.

    Idle threads sleep; see :func:`let_idle_threads_sleep`.
    """
    kept = {k: v for k, v in environment.items() if not k.startswith("QT_")}
    let_idle_threads_sleep(kept)
    threads = str(thread_count(request.config))
    return {
        **kept,
        **dict.fromkeys(_THREAD_VARIABLES, threads),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }


def thread_count(config: Mapping[str, Any]) -> int:
    """Return the CPU threads a run uses: ``machine.threads``, or the default."""
    asked = config.get("machine", {}).get("threads", 0)
    if isinstance(asked, int) and 0 < asked <= _MAX_THREADS:
        return asked
    return default_threads()


def kill(folder: RunFolder, grace_seconds: float = 3.0) -> None:
    """Kill the process of a run and all its children.

    First asks the process to end and waits for ``grace_seconds``. Does nothing if it
    is not running.

    Raises
    ------
    JobError
        If it runs on another machine, or permission is denied.
    """
    mark = _known_status(folder).process
    if folder.state() is not RunState.RUNNING or mark is None:
        return
    if mark.is_alive() is None:
        raise JobError(
            f"The run {folder.name} is running on {printable(mark.host)}, or belongs "
            "to another user.",
            "Kill it there, or stop it.",
        )
    try:
        leader = psutil.Process(mark.pid)
        tree = [leader, *leader.children(recursive=True)]
        # Only ask the first process: it ends its workers itself, without their errors.
        leader.terminate()
        psutil.wait_procs([leader], timeout=grace_seconds)
        _kill_all(tree)
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        raise JobError(
            f"Process {mark.pid} cannot be killed: permission denied.",
            "End it as the user who started it.",
        ) from error


def _kill_all(tree: list[psutil.Process]) -> None:
    for process in tree:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(tree, timeout=_EXIT_SECONDS)


def _known_status(folder: RunFolder) -> RunStatus:
    # A process that was just launched has not written its pid yet.
    deadline = time.monotonic() + _PID_SECONDS
    status = folder.status()
    while (
        status.state is RunState.RUNNING
        and status.pid is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.05)
        status = folder.status()
    return status


def _last_status(folder: RunFolder) -> RunStatus:
    # A process that has reported its end may still write its last status.
    deadline = time.monotonic() + _EXIT_SECONDS
    status = folder.status()
    while (
        status.state is RunState.RUNNING
        and folder.is_at_work(status)
        and time.monotonic() < deadline
    ):
        time.sleep(0.02)
        status = folder.status()
    return status


def _starting(folder: RunFolder, former: RunStatus) -> RunStatus:
    events = folder.events_path
    return RunStatus(
        state=RunState.RUNNING,
        launched=mark_process(),
        folder=str(folder.path.absolute()),
        heartbeat=time.time(),
        events_from=events.stat().st_size if events.exists() else 0,
        step=former.checkpoint_step,
        checkpoint_step=former.checkpoint_step,
    )


def _popen(
    line: list[str], folder: RunFolder, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    detached: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        detached = {"creationflags": flags}
    with open_for_append(folder.log_path) as log:
        name = printable(folder.name)
        log.write(f"--- {datetime.now():%Y-%m-%d %H:%M:%S} {name}\n".encode())
        return subprocess.Popen(
            line,
            cwd=folder.path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            **detached,
        )


def _wait(
    process: subprocess.Popen[bytes], folder: RunFolder, starting: RunStatus
) -> None:
    code = process.wait()
    if folder.status() != starting:
        return
    # It ended before its first status: wrong interpreter, broken installation.
    said = folder.log_tail(1)
    message = f"The process ended with exit code {code} before it began: {said}"
    with contextlib.suppress(OSError, JobError):  # The folder may have been deleted.
        with contextlib.closing(EventAppender(folder.events_path)) as events:
            events.append(StageEnded(reason="failed", message=message))
        write_status(folder, replace(starting, state=RunState.FAILED, message=message))
