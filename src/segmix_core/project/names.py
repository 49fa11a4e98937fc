"""What class names and colors may be."""

import unicodedata
from collections.abc import Sequence

from segmix_core.errors import ProjectError
from segmix_core.project.colors import is_color
from segmix_core.project.matching import class_key
from segmix_core.project.records import MAX_CLASSES, TissueClass

_MAX_LENGTH = 100


def checked_name(name: str, others: Sequence[TissueClass]) -> str:
    """Return ``name`` in Unicode's form NFC and without outer spaces.

    Raises
    ------
    ProjectError
        If it is empty, too long, has control characters, or cannot be told from the
        name of another class (:func:`~segmix_core.project.matching.class_key`); or if
        there are 250 classes already.
    """
    name = unicodedata.normalize("NFC", name.strip())
    if not name or len(name) > _MAX_LENGTH or not name.isprintable():
        raise ProjectError(
            f"{name[: _MAX_LENGTH + 1]!r} cannot be the name of a class.",
            f"Choose a name of 1 to {_MAX_LENGTH} printable characters.",
        )
    key = class_key(name)
    if not key:
        raise ProjectError(
            f"{name!r} cannot be the name of a class.",
            "Choose a name with a character other than '_'.",
        )
    for other in others:
        if class_key(other.name) == key:
            raise ProjectError(
                f"The class names '{other.name}' and '{name}' are too similar.",
                "Choose names that differ in more than upper and lower case, spaces "
                "and '_'.",
            )
    if len(others) >= MAX_CLASSES:
        raise ProjectError(
            f"A project can have at most {MAX_CLASSES} classes.",
            "A mask holds 8 bits a pixel: use fewer classes, or several projects.",
        )
    return name


def checked_color(color: str) -> str:
    """Return ``color`` in lower case; ProjectError unless it is "#rrggbb"."""
    if not is_color(color):
        raise ProjectError(
            f"{color!r} is not a valid color.",
            "Use the form '#rrggbb', such as '#009e73'.",
        )
    return color.lower()
