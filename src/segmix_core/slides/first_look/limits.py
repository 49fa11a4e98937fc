"""Limits on the time and memory a file may take, and their errors."""

import contextlib
import signal
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import psutil

from segmix_core.errors import SlideError

_SECONDS = 60.0
_BYTES_PER_SECOND = 5_000_000
"""Base time per file; more for larger files, since disks can be slow."""
_MEMORY = 2 * 2**30
_MEMORY_PER_BYTE = 64
"""Base memory per file, 2 GiB; more for larger files, since images without a pyramid
are decoded as a whole."""
_MEMORY_SHARE = 0.75
"""Largest share of the machine's memory."""
HAS_MEMORY_LIMIT = sys.platform == "linux"
"""Other systems have no limit of a process's memory, or do not keep it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one file: seconds, and bytes of memory."""

    seconds: float
    memory: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the limits of a file; they depend on its size."""
        size = 0
        with contextlib.suppress(OSError):
            size = path.stat().st_size
        memory = min(_most_memory(), _MEMORY + _MEMORY_PER_BYTE * size)
        return cls(_SECONDS + size / _BYTES_PER_SECOND, memory)

    def time_error(self, path: Path) -> SlideError:
        """Return the error for a file that took too long."""
        return SlideError(
            f"{path.name} could not be read within {self.seconds:.0f} seconds.",
            "The file is damaged or its disk is slow. Copy it to this computer again.",
        )

    def memory_error(self, path: Path) -> SlideError:
        """Return the error for a file that took too much memory."""
        return SlideError(
            f"{path.name} needs more than {self.memory / 2**30:.3g} GB of memory.",
            "The file is damaged, or a large image without a pyramid. Save it as a "
            "pyramidal TIFF (QuPath, or vips tiffsave --pyramid --tile).",
        )


@cache
def _most_memory() -> int:
    return int(psutil.virtual_memory().total * _MEMORY_SHARE)


def set_alarm(seconds: float) -> None:
    """Let the system end this process after some time; 0 cancels that.

    Works even if no other thread of the process can run.
    """
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def limit_own_memory(more: int) -> None:
    """Limit the additional memory of this process, in bytes; Linux only."""
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    wanted = pages * resource.getpagesize() + more
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, most))
