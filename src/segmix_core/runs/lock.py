"""A lock on a run folder, released by the system when the process ends.

The status tells which process uses a folder, but two processes that start at the same
time could both read it before either writes it. In a run with several processes, only
the one that reports on the run takes the lock.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from segmix_core.errors import JobError

LOCK_SECONDS = 5.0
"""How long to wait for a lock; a launcher holds it only while it writes a status."""
_POLL_SECONDS = 0.02
# Errors of network drives without locks, where only the status is used.
_NO_LOCKS = {errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the run in ``folder``.

    The file ``.lock`` is never removed, since another process may be opening it. On a
    file system without locks this does nothing.

    Raises
    ------
    JobError
        If another process holds it for longer than ``LOCK_SECONDS``.
    OSError
        If the folder cannot be written.
    """
    # No marker file instead of a missing lock: it would outlive a killed process.
    lock = FileLock(
        folder / ".lock",
        timeout=LOCK_SECONDS,
        poll_interval=_POLL_SECONDS,
        thread_local=False,
        preserve_lock_file=True,
    )
    try:
        lock.acquire()
    except Timeout as error:
        raise JobError(
            f"Another process has just started a run in {folder}.",
            "Follow or stop that one, or start a new run.",
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    try:
        yield
    finally:
        lock.release()
