"""What to do when an export cannot be written."""

import errno
from pathlib import Path

from segmix_core.errors import JobError

_NO_SPACE = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


def write_error(path: Path, error: OSError) -> JobError:
    """Return what the user is told of an ``OSError`` while writing ``path``."""
    remedy = (
        "Free some space or choose another folder, and export again; "
        "an earlier file of this name is untouched."
        if error.errno in _NO_SPACE
        else "Check that the folder can be written and that no other program has "
        "the file open, and export again."
    )
    return JobError.unexpected(f"to write {path}", error.strerror or str(error), remedy)
