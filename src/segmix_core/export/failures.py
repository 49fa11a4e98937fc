"""What to do when an export cannot be written."""

import errno
from pathlib import Path

from segmix_core.errors import JobError
from segmix_core.files import printable

_NO_SPACE = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


def write_error(path: Path, error: OSError) -> JobError:
    """Return what the user is told of an ``OSError`` while writing ``path``."""
    hint = (
        "Free some space or choose another folder, and export again; "
        "an earlier file of this name is untouched."
        if error.errno in _NO_SPACE
        else "Check that the folder can be written and that no other program has "
        "the file open, and export again."
    )
    reason = error.strerror or str(error)
    return JobError(f"{printable(str(path))} cannot be written ({reason}).", hint)


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error is that of a disk without room."""
    return isinstance(error, OSError) and error.errno in _NO_SPACE
