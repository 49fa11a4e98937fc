"""Errors of disks: which is which, and what the user is told of them."""

import errno
from pathlib import Path

from segmix_core.errors import JobError
from segmix_core.files import printable

# Quotas and limits of file systems are full disks, too; not all systems have them all.
_FULL = {getattr(errno, name, errno.ENOSPC) for name in ("ENOSPC", "EDQUOT", "EFBIG")}


def reason_of(error: Exception) -> str:
    """Return what the system says, or the error's own words where it says nothing."""
    return getattr(error, "strerror", None) or str(error)


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error is that of a disk without room."""
    return isinstance(error, OSError) and error.errno in _FULL


def is_unwritable(error: OSError) -> bool:
    """Whether a disk is full, or became read-only."""
    return is_disk_full(error) or error.errno == errno.EROFS


def run_error(path: Path, error: OSError) -> JobError:
    """Return what the user is told where a run cannot write to ``path``."""
    return _unwritable(
        path,
        error,
        "Free disk space or make the folder writable, then resume the run.",
    )


def export_error(path: Path, error: OSError) -> JobError:
    """Return what the user is told where ``path`` cannot be exported."""
    hint = (
        "Free some space or choose another folder, and export again; "
        "an earlier file of this name is untouched."
        if is_disk_full(error)
        else "Check that the folder can be written and that no other program has "
        "the file open, and export again."
    )
    return _unwritable(path, error, hint)


def _unwritable(path: Path, error: OSError, hint: str) -> JobError:
    message = f"{printable(str(path))} cannot be written ({reason_of(error)})."
    return JobError(message, hint)
