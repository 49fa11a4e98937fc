"""Identify processes, so that others can tell whether they still run."""

import os
import platform
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import Field

_SAME_START_SECONDS = 0.05 if sys.platform == "linux" else 2.0
_Seconds = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """Identifies a process, even if a later one gets its number.

    Attributes
    ----------
    pid
        Its number.
    since_boot
        Seconds from the start of the system to that of the process. Setting the clock
        does not change it.
    boot
        Identifies the system start and the container in which the number is valid; ""
        if unknown.
    host
        Name of the machine.
    """

    pid: Annotated[int, Field(ge=1, lt=2**31)]
    since_boot: _Seconds
    boot: str
    host: str

    @property
    def is_here(self) -> bool:
        """Whether the process belongs to this machine."""
        return self.host == platform.node()

    def is_alive(self) -> bool | None:
        """Whether the process still runs; None if unknown from here."""
        if not self.is_here:
            return None
        if self.boot != current_boot():
            # Processes of other containers are invisible. After a reboot no earlier
            # process is left.
            return None if _same_system(self.boot) else False
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            shift = abs(_since_boot(process) - self.since_boot)
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            # The system may hide the processes of other users.
            return None if _is_hidden(self.pid) else False
        except (psutil.AccessDenied, PermissionError):
            return None
        return shift <= _SAME_START_SECONDS


def mark_process(pid: int | None = None) -> ProcessMark:
    """Return the mark of a running process, by default of this one.

    Raises
    ------
    psutil.NoSuchProcess
        If it has ended.
    """
    process = psutil.Process(pid)
    try:
        since_boot = _since_boot(process)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(process.pid) from error
    return ProcessMark(process.pid, since_boot, current_boot(), platform.node())


@cache
def current_boot() -> str:
    """Return an identifier of this system start and container."""
    if sys.platform != "linux":
        return ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        space = str(Path("/proc/self/ns/pid").readlink()).partition("[")[2].rstrip("]")
    except OSError:
        return ""
    return f"{boot}/{space}"


def _same_system(boot: str) -> bool:
    return boot.partition("/")[0] == current_boot().partition("/")[0]


def _is_hidden(pid: int) -> bool:
    return psutil.pid_exists(pid) and not psutil.pids().count(pid)


def _since_boot(process: psutil.Process) -> float:
    if sys.platform == "linux":
        # psutil gives clock time, which changes when the clock is set.
        stat = Path(f"/proc/{process.pid}/stat").read_bytes()
        ticks = int(stat.rpartition(b")")[2].split()[19])
        return ticks / os.sysconf("SC_CLK_TCK")
    return max(0.0, float(process.create_time() - psutil.boot_time()))
