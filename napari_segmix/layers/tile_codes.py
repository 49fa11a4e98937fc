"""One number for what is known of a tile, and a color for the number.

0 is an unlabeled tile, 1..C one class present, C + 1 a labeled tile with no class
present; sets of several classes get the numbers above, as they come up.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from segmix_core.project.records import LabelState, TissueClass

Codes = npt.NDArray[np.uint16]
Rgba = tuple[float, float, float, float]

UNLABELED = 0
BRUSH = 65_000
"""What a brush without a class paints; with class i, BRUSH + i. No tile keeps them, so
that every stroke is seen as a change, even one over tiles that look the same before and
after. Each brush has its color from the start: a color table for 65,536 numbers is made
when a new set of classes comes up, not when another brush is taken."""
_BRUSH_COLOR = (1.0, 1.0, 1.0, 0.6)
_CLEAR = (0.0, 0.0, 0.0, 0.0)
_NO_CLASS_COLOR = (0.62, 0.64, 0.66)


class TileCodes:
    """Numbers and colors for the label sets of a project with some classes."""

    def __init__(self, classes: Sequence[TissueClass]) -> None:
        self.classes = tuple(classes)
        self._sets: list[tuple[int, ...]] = [
            *((entry.index,) for entry in self.classes),
            (),
        ]
        self._codes = {present: i + 1 for i, present in enumerate(self._sets)}

    def encode(self, states: npt.NDArray[np.int8]) -> Codes:
        """Return (n,) codes of the labels of n tiles, (n, C) of ``LabelState``."""
        present = states == LabelState.PRESENT
        count = present.sum(axis=1)
        codes = np.full(len(states), UNLABELED, np.uint16)
        codes[(states != LabelState.UNKNOWN).any(axis=1)] = self._codes[()]
        single = count == 1
        codes[single] = np.nonzero(present[single])[1] + 1
        several = np.flatnonzero(count > 1)
        if len(several) == 0:
            return codes
        sets, inverse = np.unique(present[several], axis=0, return_inverse=True)
        numbers = [self._code(tuple(np.flatnonzero(row) + 1)) for row in sets]
        codes[several] = np.array(numbers, np.uint16)[inverse.ravel()]
        return codes

    def _code(self, present: tuple[int, ...]) -> int:
        present = tuple(int(index) for index in present)
        if present not in self._codes:
            self._sets.append(present)
            self._codes[present] = len(self._sets)
        return self._codes[present]

    def decode(self, code: int) -> tuple[int, ...] | None:
        """Return the class indices that a code stands for; None if it is not ours."""
        return self._sets[code - 1] if 1 <= code <= len(self._sets) else None

    def names(self) -> dict[int, str]:
        """Return the text of each code, for the status bar."""
        by_index = {entry.index: entry.name for entry in self.classes}
        texts = {UNLABELED: "not labeled"}
        for code, present in enumerate(self._sets, start=1):
            names = " + ".join(by_index[index] for index in present)
            texts[code] = names or "none of the classes"
        return texts

    def colors(self) -> dict[int | None, Rgba]:
        """Return the color of each code, 0..1; sets of classes blend theirs.

        None stands for all numbers without a meaning. Brushes have theirs, too.
        """
        by_index = {entry.index: rgb(entry.color) for entry in self.classes}
        result: dict[int | None, Rgba] = dict.fromkeys((None, UNLABELED), _CLEAR)
        for code, present in enumerate(self._sets, start=1):
            parts = [by_index[index] for index in present] or [_NO_CLASS_COLOR]
            red, green, blue = np.mean(parts, axis=0).tolist()
            result[code] = (red, green, blue, 1.0)
        result[BRUSH] = _BRUSH_COLOR
        for index, color in by_index.items():
            result[BRUSH + index] = (*color, 1.0)
        return result


def rgb(color: str) -> tuple[float, float, float]:
    """Return the parts, 0..1, of a color "#rrggbb"."""
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue
