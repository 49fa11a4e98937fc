"""The loss of Puzzle-CAM, cell by cell."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def reconstruction_loss(whole: Floats, merged: Floats, labels: Floats) -> float:
    """Mean over everything of the difference of the maps of present classes."""
    total = 0.0
    for b, c, y, x in np.ndindex(whole.shape):
        total += (labels[b, c] == 1) * abs(whole[b, c, y, x] - merged[b, c, y, x])
    return total / whole.size
