"""Losses of SegMix+ and of Puzzle-CAM, cell by cell."""

import math
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


Place = tuple[int, int, int]
"""Tile, y and x of a cell."""


def cells(
    sources: Ints, positions: Ints, height: int, width: int
) -> Iterator[tuple[Place, Place]]:
    """Yield the cells that have no seam beside them, each with where it was before."""
    count, rows, cols = sources.shape
    tall, wide = height // rows, width // cols

    def before(tile: int, y: int, x: int) -> Place:
        row, col = y // tall, x // wide
        from_row, from_col = divmod(int(positions[tile, row, col]), cols)
        source = int(sources[tile, row, col])
        return source, y + tall * (from_row - row), x + wide * (from_col - col)

    for tile, y, x in np.ndindex(count, height, width):
        source, from_y, from_x = before(tile, y, x)
        around = [
            before(tile, v, u) == (source, from_y + v - y, from_x + u - x)
            for v in range(max(0, y - 1), min(height, y + 2))
            for u in range(max(0, x - 1), min(width, x + 2))
        ]
        if all(around):
            yield (tile, y, x), (source, from_y, from_x)


def unshuffle_loss(
    shuffled: Floats, original: Floats, sources: Ints, positions: Ints, labels: Floats
) -> float:
    """Mean over cells and present classes of the difference of two sigmoids."""
    differences = [
        abs(_sigmoid(shuffled[tile, c, y, x]) - _sigmoid(original[source, c, v, u]))
        for (tile, y, x), (source, v, u) in cells(
            sources, positions, *shuffled.shape[2:]
        )
        for c in range(labels.shape[1])
        if labels[source, c] == 1
    ]
    return sum(differences) / len(differences) if differences else 0.0


def known_label_loss(
    shuffled: Floats, sources: Ints, positions: Ints, labels: Floats
) -> float:
    """Mean over classes of the mean cross entropy of the cells known to be of it."""
    by_class = defaultdict(list)
    for (tile, y, x), (source, *_) in cells(sources, positions, *shuffled.shape[2:]):
        if sorted(labels[source]) == [0] * (labels.shape[1] - 1) + [1]:
            c = list(labels[source]).index(1)
            scores = shuffled[tile, :, y, x]
            total = sum(math.exp(score) for score in scores)
            by_class[c].append(-math.log(math.exp(scores[c]) / total))
    means = [sum(values) / len(values) for values in by_class.values()]
    return sum(means) / len(means) if means else 0.0


def reconstruction_loss(whole: Floats, merged: Floats, labels: Floats) -> float:
    """Mean over everything of the difference of the maps of present classes."""
    total = 0.0
    for b, c, y, x in np.ndindex(whole.shape):
        total += (labels[b, c] == 1) * abs(whole[b, c, y, x] - merged[b, c, y, x])
    return total / whole.size


def _sigmoid(score: float) -> float:
    return 1 / (1 + math.exp(-score))
