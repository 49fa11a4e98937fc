"""The result of an import."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from segmix_core.project.importers.label_rows import LabelRow
from segmix_core.project.importers.problems import Problems, printable
from segmix_core.project.readiness import all_present
from segmix_core.project.records import TRAIN_SPLIT, ImageRecord


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The result of an import.

    Attributes
    ----------
    images, tiles
        Numbers of images and tiles in the file.
    labels
        Number of known labels that were stored.
    overturned
        Number of known labels that were reversed or hidden.
    kept
        Number of known labels that stayed although the file has the opposite.
    notes
        Sentences for the user.
    """

    images: int
    tiles: int
    labels: int
    overturned: int = 0
    kept: int = 0
    notes: tuple[str, ...] = ()


def count_known(states: npt.NDArray[np.int8]) -> int:
    """Return how many of the states (n, C) are present or absent."""
    return int((states >= 0).sum())


def count_text(number: int, noun: str, plural: str | None = None) -> str:
    """Return "1 image" or "3 images"."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def plausibility_notes(states: npt.NDArray[np.int8]) -> list[str]:
    """Return a note if every class is present in every tile."""
    if all_present(states):
        return [
            "Every class is present in every tile of the file, so these labels alone "
            "cannot train a model."
        ]
    return []


def image_texts(
    rows: Sequence[LabelRow],
    attribute: Literal["split", "group"],
    problems: Problems,
) -> dict[int, str]:
    """Return the split or group by image id; report rows that disagree."""
    texts: dict[int, str] = {}
    for row in rows:
        text = getattr(row, attribute)
        if text is not None and texts.setdefault(row.image.id, text) != text:
            name = printable(row.image.path.name)
            problems.add(f"images with several {attribute}s", f"{row.place}: {name}")
    return texts


def general_notes(
    rows: Sequence[LabelRow],
    images: Sequence[ImageRecord],
    splits: dict[int, str],
    groups: dict[int, str],
) -> list[str]:
    """Return notes about images without a row and groups in several splits."""
    notes = []
    named = {row.image.id for row in rows}
    without = [image.path.name for image in images if image.id not in named]
    if without:
        verb = "has" if len(without) == 1 else "have"
        notes.append(
            f"{count_text(len(without), 'image')} in the project {verb} no row in the "
            f"file, such as {printable(without[0])}."
        )
    crossing = crossing_groups(
        [groups.get(image.id, image.group) for image in images],
        [splits.get(image.id, image.split) for image in images],
    )
    if crossing:
        verb = "has" if len(crossing) == 1 else "have"
        notes.append(
            f"{count_text(len(crossing), 'group')} {verb} images in several splits, "
            f"such as {printable(crossing[0])}. Scores on val and test will look too "
            "good."
        )
    return notes + _split_notes(images, splits)


def crossing_groups(groups: Sequence[str], splits: Sequence[str]) -> tuple[str, ...]:
    """Return the groups with images in more than one split, in order of their names.

    Images without a group ("") do not count.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for group, split in zip(groups, splits, strict=True):
        found[group].add(split)
    return tuple(sorted(g for g, used in found.items() if g and len(used) > 1))


def _split_notes(images: Sequence[ImageRecord], splits: dict[int, str]) -> list[str]:
    # An image without a split belongs to the first one.
    moved = [
        image
        for image in images
        if image.split not in (TRAIN_SPLIT, splits.get(image.id, image.split))
    ]
    if not moved:
        return []
    name, split = printable(moved[0].path.name), moved[0].split
    return [
        f"{count_text(len(moved), 'image')} moved to another split, such as {name} "
        f"(was in {split})."
    ]
