"""What an import did."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmix_core.project.importers.label_rows import LabelRow
from segmix_core.project.records import ImageRecord
from segmix_core.project.splits import crossing_groups


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Images, tiles and known labels that a file was about, and what to know."""

    images: int
    tiles: int
    labels: int
    notes: tuple[str, ...] = ()


def count_known(states: npt.NDArray[np.int8]) -> int:
    """Return how many of the states (n, C) are present or absent."""
    return int((states >= 0).sum())


def image_texts(
    rows: Sequence[LabelRow], attribute: str
) -> tuple[dict[int, str], list[str]]:
    """Return "split" or "group" by image id, and the files with more than one."""
    texts: dict[int, str] = {}
    conflicts: dict[str, None] = {}
    for row in rows:
        text = getattr(row, attribute)
        if text is not None and texts.setdefault(row.image.id, text) != text:
            conflicts[row.image.path.name] = None
    return texts, list(conflicts)


def general_notes(
    rows: Sequence[LabelRow],
    images: Sequence[ImageRecord],
    splits: dict[int, str],
    groups: dict[int, str],
) -> list[str]:
    """Return sentences on images without a row and groups that cross splits."""
    notes = []
    named = {row.image.id for row in rows}
    without = [image.path.name for image in images if image.id not in named]
    if without:
        notes.append(
            f"{len(without)} images of the project have no row, first {without[0]}."
        )
    crossing = crossing_groups(
        [groups.get(image.id, image.group) for image in images],
        [splits.get(image.id, image.split) for image in images],
    )
    if crossing:
        notes.append(
            f"{len(crossing)} groups have images in several splits, first "
            f"{crossing[0]}: scores on val and test will look too good."
        )
    return notes
