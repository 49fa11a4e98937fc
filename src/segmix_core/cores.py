"""How many processor cores this process may use.

``os.cpu_count`` counts the logical processors of the machine. As many threads get in
each other's way where a scheduler or a container allows fewer, or where two logical
processors share a physical core.
"""

import os
import sys
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

import psutil

_ROOT = Path("/")


def count_usable_cores(root: Path = _ROOT) -> int:
    """Return the physical cores that this process may use; at least 1.

    These are the cores it may run on (its affinity), but no more than the CPU time that
    its control groups allow (cgroup quota, rounded down).

    Parameters
    ----------
    root
        Where the folders ``proc`` and ``sys`` of Linux are.
    """
    if sys.platform != "linux":
        return psutil.cpu_count(logical=False) or os.cpu_count() or 1
    cores = _count_physical(os.sched_getaffinity(0), root / "sys/devices/system/cpu")
    return max(1, min([cores, *(int(quota) for quota in _quotas(root))]))


def default_threads() -> int:
    """Return the threads that a job computes with unless told otherwise.

    One core stays free for the viewer and for other programs.
    """
    return max(1, count_usable_cores() - 1)


def let_idle_threads_sleep(environment: MutableMapping[str, str]) -> None:
    """Set the variable that lets waiting threads of OpenMP sleep instead of spin.

    Beside other programs, threads that spin take the cores that the others of the same
    step wait for. It must be set before torch is loaded; a value that is there stays.
    """
    environment.setdefault("OMP_WAIT_POLICY", "passive")


def _count_physical(processors: Iterable[int], folder: Path) -> int:
    """Count logical processors, but those of one physical core only once."""
    cores = set()
    for number in processors:
        siblings = folder / f"cpu{number}/topology/thread_siblings_list"
        try:
            cores.add(siblings.read_text())
        except OSError:  # Some virtual machines hide it.
            cores.add(str(number))
    return len(cores)


def _quotas(root: Path) -> Iterator[float]:
    """Yield how many CPUs each control group of this process allows."""
    groups = root / "sys/fs/cgroup"
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                for folder in _up(groups, path):
                    yield from _quota(folder / "cpu.max")
            elif "cpu" in controllers.split(","):
                for folder in _up(groups / "cpu", path):
                    yield from _quota(
                        folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"
                    )


def _up(mount: Path, path: str) -> Iterator[Path]:
    """Yield the folder of a control group and of all that it is in."""
    # In a container the path may be that of the host, and only the mount is there.
    inner = PurePosixPath(path).relative_to("/")
    yield from (mount / part for part in (inner, *inner.parents))


def _quota(*files: Path) -> Iterator[float]:
    """Yield quota / period, in two files or in two words of one; nothing without."""
    # "max" (version 2) and -1 (version 1) mean no limit.
    with suppress(OSError, ValueError):
        quota, period = " ".join(file.read_text() for file in files).split()
        if float(quota) > 0 and float(period) > 0:
            yield float(quota) / float(period)
