"""Train, val and test: by group (patient, case), never by tile."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from segmix_core.project.records import SPLITS


def assign_splits(
    groups: Sequence[str],
    *,
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    known: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Return the split of each image.

    A group's split depends on its name and the seed alone, so adding images never
    moves others. Small numbers of groups may leave val or test empty; then the groups
    next to the limit fill them, as long as one stays in train.

    Parameters
    ----------
    groups
        One name an image; images of a group stay together.
    val, test
        Wanted shares of the groups, 0..1, together less than 1.
    seed
        Another seed, another division.
    known
        Splits of groups that are decided already; kept.

    Raises
    ------
    ValueError
        If the shares are not possible.
    """
    if val < 0 or test < 0 or val + test >= 1:
        raise ValueError(f"Expected shares >= 0, together < 1, got {val} and {test}")
    decided = dict(known or {})
    new = sorted(set(groups) - decided.keys(), key=lambda g: (_place(g, seed), g))
    for group in new:
        place = _place(group, seed)
        decided[group] = (
            "test" if place < test else "val" if place < test + val else "train"
        )
    used = {decided[group] for group in groups}
    for name, share in (("test", test), ("val", val)):
        in_train = [group for group in new if decided[group] == "train"]
        if share > 0 and name not in used and len(in_train) > 1:
            decided[in_train[0]] = name
    return tuple(decided[group] for group in groups)


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


def _place(group: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
