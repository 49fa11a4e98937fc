"""What an edit makes of a tile's labels: pure functions of (n, C) arrays."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, unique

import numpy as np
import numpy.typing as npt

from segmix_core.project.records import KEEP, LabelState

States = npt.NDArray[np.int8]
"""(n, C) of :class:`LabelState`; in an edit also KEEP: left as it is stored."""


@unique
class PaintMode(StrEnum):
    """What a brush stroke says about the tiles under it."""

    ONLY = "only"
    ADD = "add"
    REMOVE = "remove"
    CLEAR = "clear"


def edited(states: States, mode: PaintMode, class_index: int) -> States:
    """Return what a stroke with a class (1..C) sets in n tiles of labels ``states``.

    ONLY makes the class present and the others absent, ADD and REMOVE set the one
    class and keep the others, CLEAR makes all unknown.
    """
    result = np.full_like(states, KEEP)
    column = class_index - 1
    if mode is PaintMode.CLEAR:
        result[:] = LabelState.UNKNOWN
    elif mode is PaintMode.ONLY:
        result[:] = LabelState.ABSENT
        result[:, column] = LabelState.PRESENT
    elif mode is PaintMode.ADD:
        result[:, column] = LabelState.PRESENT
    else:
        result[:, column] = LabelState.ABSENT
    return result


def exactly(states: States, present: tuple[int, ...]) -> States:
    """Return labels with these class indices present and all others absent."""
    result = np.full_like(states, LabelState.ABSENT)
    for class_index in present:
        result[:, class_index - 1] = LabelState.PRESENT
    return result


def merged(states: States, edit: States) -> States:
    """Return labels (n, C) after an edit (n, C)."""
    result: States = np.where(edit == KEEP, states, edit)
    return result


def is_labeled(states: States) -> npt.NDArray[np.bool_]:
    """Return (n,) bool: whether anything is known of the tile."""
    result: npt.NDArray[np.bool_] = (states != LabelState.UNKNOWN).any(axis=1)
    return result


def next_unlabeled(states: States, start: int | None, step: int = 1) -> int | None:
    """Return the next row of which nothing is known, from ``start`` and around.

    ``step`` is 1 or -1; ``start`` None begins at the first row. None when every tile
    is labeled.
    """
    open_rows = np.flatnonzero(~is_labeled(states))
    if len(open_rows) == 0:
        return None
    if start is None:
        return int(open_rows[0])
    if step > 0:
        place = np.searchsorted(open_rows, start, side="right") % len(open_rows)
    else:
        place = np.searchsorted(open_rows, start, side="left") - 1
    return int(open_rows[place])


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """How many tiles say what.

    ``present``, ``absent`` and ``unknown`` have one number a class, in the order of
    the classes.
    """

    present: tuple[int, ...]
    absent: tuple[int, ...]
    unknown: tuple[int, ...]
    labeled: int
    total: int

    def __add__(self, other: "LabelCounts") -> "LabelCounts":
        return self._with(other, operator.add)

    def __sub__(self, other: "LabelCounts") -> "LabelCounts":
        return self._with(other, operator.sub)

    def _with(
        self, other: "LabelCounts", combine: Callable[[int, int], int]
    ) -> "LabelCounts":
        return LabelCounts(
            tuple(map(combine, self.present, other.present)),
            tuple(map(combine, self.absent, other.absent)),
            tuple(map(combine, self.unknown, other.unknown)),
            combine(self.labeled, other.labeled),
            combine(self.total, other.total),
        )


def count_labels(states: States) -> LabelCounts:
    """Count the labels of n tiles."""

    def per_class(state: LabelState) -> tuple[int, ...]:
        return tuple(int(n) for n in (states == state).sum(axis=0))

    return LabelCounts(
        per_class(LabelState.PRESENT),
        per_class(LabelState.ABSENT),
        per_class(LabelState.UNKNOWN),
        int(is_labeled(states).sum()),
        len(states),
    )
