"""Files that are not added, and the messages about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segmix_core.errors import SegmixError
from segmix_core.files import printable

_NAMED = 3


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or folder that was not added, and why."""

    path: Path
    error: SegmixError


def name_some(paths: Sequence[Path]) -> str:
    """Return the first three names, and how many more there are.

    Examples
    --------
    >>> name_some([Path(f"{n}.png") for n in range(5)])
    '0.png, 1.png, 2.png and 2 more'
    """
    names = ", ".join(printable(path.name) for path in paths[:_NAMED])
    more = len(paths) - _NAMED
    return f"{names} and {more} more" if more > 0 else names


def count_files(paths: Sequence[Path]) -> str:
    """Return "1 file" or "5 files"."""
    return "1 file" if len(paths) == 1 else f"{len(paths)} files"


def left_out_note(left_out: Sequence[LeftOut]) -> str:
    """Return the note on one or more files that were left out."""
    paths = [entry.path for entry in left_out]
    verb = "was" if len(paths) == 1 else "were"
    return (
        f"{count_files(paths)} {verb} skipped: {name_some(paths)}. "
        f"{_first_reason(left_out)}."
    )


def nothing_added(left_out: Sequence[LeftOut]) -> SegmixError:
    """Return the error if none of the chosen files can be added."""
    first = left_out[0].error
    if len(left_out) == 1:
        return first
    return type(first)(
        f"None of the {len(left_out)} files can be added. {_first_reason(left_out)}.",
        first.hint,
    )


def _first_reason(left_out: Sequence[LeftOut]) -> str:
    """Return why the first file was left out, with its name."""
    name, reason = printable(left_out[0].path.name), left_out[0].error.reason
    is_named = len(left_out) == 1 or name in reason
    return reason if is_named else f"{name}: {reason}"
