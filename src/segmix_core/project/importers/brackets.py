"""Labels in brackets in file names, as in three public data sets.

The digits mean different classes in each, so the user has to name the data set.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segmix_core.errors import ProjectError
from segmix_core.project.importers.label_rows import LabelRow, find_image, split_name
from segmix_core.project.importers.problems import Problems, printable
from segmix_core.project.importers.report import count_text
from segmix_core.project.matching import ClassMatcher, ImageMatcher
from segmix_core.project.records import ImageRecord

_BRACKET = re.compile(r"\[\s*([01](?:[\s,]*[01])*)\s*\]$")
_IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}

_TUMOUR = ("tumour", "tumor", "tum", "tumor epithelial", "tumour epithelium")
_STROMA = ("stroma", "str")
_LYMPHOCYTE = ("lymphocyte", "lymphocytes", "lym", "lymphocytic infiltrate")
_NECROSIS = ("necrosis", "nec")

PRESETS: dict[str, tuple[tuple[str, ...], ...]] = {
    "bcss-wsss": (_TUMOUR, _STROMA, _LYMPHOCYTE, _NECROSIS),
    "luad-histoseg": (
        ("tumor epithelium", "tumour epithelium", "te", *_TUMOUR),
        _NECROSIS,
        _LYMPHOCYTE,
        (
            "tumor-associated stroma",
            "tumour-associated stroma",
            "tumor associated stroma",
            "tumour associated stroma",
            "tas",
            *_STROMA,
        ),
    ),
    "wsss4luad": (_TUMOUR, _STROMA, ("normal", "normal tissue")),
}
"""Accepted class names of each digit, by data set."""


def bracket_digits(name: str) -> str | None:
    """Return the digits of ``a[1 0 0 1].png``, ``a[1001].png`` or ``a[1, 0].png``."""
    found = _BRACKET.search(Path(name).stem)
    return re.sub(r"[\s,]", "", found[1]) if found else None


def image_files(folder: Path) -> list[Path]:
    """Return the image files in ``folder`` and below, except in mask folders."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _IMAGE_SUFFIXES
        and not any("mask" in part.lower() for part in path.relative_to(folder).parts)
    )


def parse_brackets(
    folder: Path,
    preset: str | None,
    images: Sequence[ImageRecord],
    classes: ClassMatcher,
    problems: Problems,
) -> list[LabelRow]:
    """Return a row for each file with a bracket; folder names give the split.

    Raises
    ------
    ProjectError
        If the preset is missing or unknown, its classes are not in the project, or no
        file has a bracket.
    """
    columns = _columns(preset, classes)
    matcher = ImageMatcher(images)
    rows = []
    for path in image_files(folder):
        digits = bracket_digits(path.name)
        if digits is None:
            continue
        if len(digits) != len(columns):
            kind = f"file names without {len(columns)} digits"
            problems.add(kind, printable(path.name))
            continue
        text = path.relative_to(folder).as_posix()
        image = find_image(matcher, text, "", problems)
        if image is not None:
            states = np.full(len(classes.names), -1, np.int8)
            states[columns] = [int(digit) for digit in digits]
            split = _folder_split(path.parent)
            rows.append(LabelRow(path.name, image, states, split, None, None))
    return rows


def bracket_notes(folder: Path) -> list[str]:
    """Return a note about image files without digits in brackets."""
    unused = [file for file in image_files(folder) if not bracket_digits(file.name)]
    if not unused:
        return []
    number = count_text(len(unused), "image file")
    first = printable(unused[0].name)
    verb = "was" if len(unused) == 1 else "were"
    return [f"{number} without digits in brackets {verb} skipped, such as {first}."]


def _columns(preset: str | None, classes: ClassMatcher) -> list[int]:
    if preset not in PRESETS:
        known = ", ".join(PRESETS)
        raise ProjectError(
            "No data set was chosen for the digits in brackets."
            if preset is None
            else f"'{preset}' is not a known data set.",
            f"Choose one of {known}; the digits mean different classes in each.",
        )
    return [_column(spellings, preset, classes) for spellings in PRESETS[preset]]


def _column(spellings: Sequence[str], preset: str, classes: ClassMatcher) -> int:
    found = {
        match.item: None
        for name in spellings
        if (match := classes.find(name)).item is not None
    }
    columns = [column for column in found if column is not None]
    if len(columns) == 1:
        return columns[0]
    if columns:
        names = " and ".join(f"'{classes.names[column]}'" for column in columns)
        raise ProjectError(
            f"{names} both match the class '{spellings[0]}' of {preset}.",
            "Rename one of them.",
        )
    raise ProjectError(
        f"The project has no class '{spellings[0]}', which {preset} needs.",
        f"Add it; these names are also accepted: {', '.join(spellings[1:])}.",
    )


def _folder_split(folder: Path) -> str | None:
    # val/img/name.png: the split is one folder up.
    names = (folder.name, folder.parent.name)
    return next((split for name in names if (split := split_name(name))), None)
