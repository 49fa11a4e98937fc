"""What class names and colours may be."""

from collections.abc import Sequence

from segmix_core.errors import ProjectError
from segmix_core.project.colors import is_color
from segmix_core.project.records import MAX_CLASSES, TissueClass

_MAX_LENGTH = 100


def checked_name(name: str, others: Sequence[TissueClass]) -> str:
    """Return ``name`` without outer spaces.

    Raises
    ------
    ProjectError
        If it is empty, too long, has control characters, or another class has it in
        any spelling of upper and lower case; or if there are 250 classes already.
    """
    name = name.strip()
    if not name or len(name) > _MAX_LENGTH or not name.isprintable():
        raise ProjectError.unexpected(
            f"a class name of 1 to {_MAX_LENGTH} printable characters",
            repr(name[: _MAX_LENGTH + 1]),
            "Choose another name.",
        )
    if any(name.casefold() == other.name.casefold() for other in others):
        raise ProjectError.unexpected(
            "class names that differ",
            f"{name!r} twice",
            "Choose another name; upper and lower case do not count.",
        )
    if len(others) >= MAX_CLASSES:
        raise ProjectError.unexpected(
            f"at most {MAX_CLASSES} classes",
            f"{len(others) + 1}",
            "A mask holds 8 bits a pixel: use fewer classes, or several projects.",
        )
    return name


def checked_color(color: str) -> str:
    """Return ``color`` in lower case; ProjectError unless it is "#rrggbb"."""
    if not is_color(color):
        raise ProjectError.unexpected(
            'a colour of the form "#rrggbb"', repr(color), "For example #009e73."
        )
    return color.lower()
