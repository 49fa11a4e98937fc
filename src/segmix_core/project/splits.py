"""Train, val and test: by group (patient, case), never by tile."""

from collections import defaultdict
from collections.abc import Sequence

from segmix_core.project.records import SPLITS


def crossing_groups(groups: Sequence[str], splits: Sequence[str]) -> tuple[str, ...]:
    """Return the groups with images in more than one split, in order of their names.

    Images without a group ("") do not count.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for group, split in zip(groups, splits, strict=True):
        found[group].add(split)
    return tuple(sorted(g for g, used in found.items() if g and len(used) > 1))


def split_name(text: str) -> str | None:
    """Return "train", "val" or "test" for the spellings in use, None for others."""
    text = text.strip().casefold()
    spellings = {
        "training": "train",
        "valid": "val",
        "validation": "val",
        "dev": "val",
        "testing": "test",
    }
    name = spellings.get(text, text)
    return name if name in SPLITS else None
