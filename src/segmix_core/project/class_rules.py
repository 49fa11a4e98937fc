"""Rules for class names and colors, and the default colors."""

import colorsys
import re
import unicodedata
from collections.abc import Sequence

from segmix_core.errors import ProjectError
from segmix_core.project.matching import class_key
from segmix_core.project.records import MAX_CLASSES, TissueClass

_MAX_LENGTH = 100

# The first seven are Okabe & Ito's, "Color Universal Design" (2008), without black
# (H&E nuclei are dark). Each of the others is the color of a grid that is farthest in
# CIELAB from those before it, white, black and eosin pink, in the worst case of normal,
# protan, deutan and tritan vision (Machado et al. 2009, severity 1).
_PALETTE = [
    "#56b4e9",
    "#e69f00",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#8800ff",
    "#663311",
    "#444455",
    "#00ff88",
    "#bb55ff",
    "#ff0055",
    "#3333bb",
    "#aaeebb",
    "#662277",
    "#994400",
    "#667744",
    "#885588",
    "#aabb55",
    "#77bb77",
    "#dd00bb",
    "#114433",
    "#ccee66",
    "#ddccff",
    "#9999ff",
    "#cc9999",
    "#552299",
    "#7777dd",
    "#7744ee",
    "#aa0066",
    "#eebb99",
]
_HUE_STEP = 0.6180339887498949
"""Golden ratio: every new hue falls into the largest gap of the earlier ones."""
_LIGHTNESS = (0.35, 0.75, 0.55)
"""Lightness differs visibly with any color vision."""


def checked_name(name: str, others: Sequence[TissueClass]) -> str:
    """Return ``name`` in Unicode's form NFC and without surrounding spaces.

    Raises
    ------
    ProjectError
        If it is not text, empty, too long, has control characters, or is too similar to
        the name of another class
        (:func:`~segmix_core.project.matching.class_key`); or if there are 250 classes
        already.
    """
    if not isinstance(name, str):
        raise ProjectError(
            f"{name!r} cannot be the name of a class.", "Choose a name that is text."
        )
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


def default_color(position: int) -> str:
    """Return the color "#rrggbb" of the class at ``position`` (from 0).

    The first 32 can be told apart with any color vision; later ones step through hue
    and lightness and are all different up to the largest number of classes.
    """
    if position < len(_PALETTE):
        return _PALETTE[position]
    step = position - len(_PALETTE)
    hue = (0.08 + step * _HUE_STEP) % 1
    lightness = _LIGHTNESS[step % len(_LIGHTNESS)]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.75)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def is_color(text: str) -> bool:
    """Return whether ``text`` is a color of the form "#rrggbb"."""
    return re.fullmatch(r"#[0-9a-fA-F]{6}", text) is not None
