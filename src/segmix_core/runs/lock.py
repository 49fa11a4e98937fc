"""A lock on a run folder, which the system takes back when its holder ends.

A status says who works in a folder, but two processes that start in the same moment
both read it before either writes it. The helpers of a run in several processes take no
lock: only the process that speaks for the run does.
"""

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segmix_core.errors import JobError

LOCK_SECONDS = 5.0
"""How long to wait for a lock: a launcher holds it only while it writes a status."""
_POLL_SECONDS = 0.02
_HELD = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}


class RunLock:
    """The lock of the run in ``folder``.

    It lies in the file ``.lock``, which stays: another process may just be opening it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = -1

    def acquire(self) -> None:
        """Take the lock.

        On a file system without locks this does nothing.

        Raises
        ------
        JobError
            If another process holds it for longer than ``LOCK_SECONDS``.
        OSError
            If the folder cannot be written.
        """
        file = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        deadline = time.monotonic() + LOCK_SECONDS
        while not _is_taken(file):
            if time.monotonic() > deadline:
                os.close(file)
                raise JobError(
                    f"Another process has just started a run in {self._folder}.",
                    "Follow or stop that one, or start a new run.",
                )
            time.sleep(_POLL_SECONDS)
        self._file = file

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._file)
        self._file = -1


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run; errors as from :meth:`RunLock.acquire`."""
    lock = RunLock(folder)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _is_taken(file: int) -> bool:
    try:
        _lock(file)
    except OSError as error:
        # Others, such as ENOLCK, come from network drives: the status has to do there.
        return error.errno not in _HELD
    return True


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
