"""Metadata of label images, and its form in files."""

import re
from dataclasses import asdict, dataclass
from math import inf
from typing import Any
from xml.etree import ElementTree

from segmix_core.files import parse_json
from segmix_core.geometry import Box, mean_mpp
from segmix_core.project.records import (
    BACKGROUND,
    IGNORE_INDEX,
    TissueClass,
)

NAMESPACE = "segmix/classes/v1"
"""Namespace of the map annotation, and JSON key, with the class names."""


@dataclass(frozen=True, slots=True)
class LabelImageInfo:
    """The metadata of a label image.

    Parameters
    ----------
    classes
        The classes 1..C; background (0) and ignored (255) are added.
    mpp_y, mpp_x
        µm per pixel of the label image, > 0; None: no size is written.
    source
        Name of the image that the labels belong to.
    downsample
        Level-0 pixels of the source per pixel of the label image.
    origin
        (y, x) of the label image's first pixel in level-0 pixels of the source.
    bounds
        The part of the source that its scanner marked as scanned, in level-0 pixels;
        None: the whole frame. QuPath shows no more than this part.
    """

    classes: tuple[TissueClass, ...]
    mpp_y: float | None = None
    mpp_x: float | None = None
    source: str = ""
    downsample: float = 1.0
    origin: tuple[int, int] = (0, 0)
    bounds: Box | None = None

    def __post_init__(self) -> None:
        for mpp in (self.mpp_y, self.mpp_x):
            if mpp is not None and not (0 < mpp < inf):
                raise ValueError(f"mpp must be positive or None, not {mpp}")
        if (self.mpp_y is None) != (self.mpp_x is None):
            raise ValueError("mpp_y and mpp_x must both be set, or both be None")

    @property
    def table(self) -> tuple[TissueClass, ...]:
        """All class indices that may occur, in ascending order."""
        return (
            TissueClass(BACKGROUND, "background", "#000000"),
            *sorted(self.classes, key=lambda entry: entry.index),
            TissueClass(IGNORE_INDEX, "ignored", "#808080"),
        )


def parse_classes(description: str) -> dict[int, str]:
    """Read class index -> name from a TIFF description; empty if it has none."""
    try:
        if description.lstrip().startswith("{"):
            return _classes_from_json(description)
        return _classes_from_xml(description)
    except (ValueError, KeyError, AttributeError, ElementTree.ParseError):
        return {}


def _classes_from_json(description: str) -> dict[int, str]:
    entries = parse_json(description.encode("utf-8", "surrogatepass"))[NAMESPACE]
    return {int(index): str(name) for index, name in entries.items()}


def _classes_from_xml(description: str) -> dict[int, str]:
    # A file could define entities that expand to gigabytes; OME-XML has none.
    if "<!" in description.replace("<!--", ""):
        return {}
    root = ElementTree.fromstring(description)
    return {
        int(entry.attrib["K"]): entry.text or ""
        for annotation in root.iterfind(".//{*}MapAnnotation")
        if annotation.get("Namespace") == NAMESPACE
        for entry in annotation.iterfind(".//{*}M")
    }


# Characters not allowed in XML 1.0, and newlines, which it does not preserve.
_NOT_XML = re.compile(
    "[^\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]|[\\x7f-\\x9f]"
)


def xml_text(text: str) -> str:
    r"""Escape characters that XML cannot contain, as in ``\\x1b``."""
    return _NOT_XML.sub(lambda found: _escaped(found[0]), text)


def check_xml(description: str) -> None:
    """Raise ValueError if a description is not valid XML."""
    try:
        ElementTree.fromstring(description)
    except ElementTree.ParseError as error:
        raise ValueError(f"The OME-XML is not valid: {error}") from error


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def sidecar_content(info: LabelImageInfo) -> dict[str, Any]:
    """Return the content of ``<name>.classes.json``: JSON values, with a version."""
    return {
        "version": 1,
        "source": info.source,
        "mpp": mean_mpp((info.mpp_y, info.mpp_x)),
        "mpp_y": info.mpp_y,
        "mpp_x": info.mpp_x,
        "downsample": info.downsample,
        "origin": {"y": info.origin[0], "x": info.origin[1], "unit": "level-0 pixel"},
        "bounds": None
        if info.bounds is None
        else {**asdict(info.bounds), "unit": "level-0 pixel"},
        "classes": {
            str(entry.index): {"name": entry.name, "color": entry.color}
            for entry in info.table
        },
    }
