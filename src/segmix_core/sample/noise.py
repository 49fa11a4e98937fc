"""Smooth random fields that can be evaluated anywhere."""

import numpy as np
import numpy.typing as npt
from scipy import sparse

FloatArray = npt.NDArray[np.float32]

# A cubic B-spline over independent nodes of variance 1 has this standard deviation.
_SPLINE_STD = 0.479


class SmoothNoise:
    """A random field over a square: mean 0, standard deviation about 1.

    Independent normal nodes on a grid, interpolated by cubic B-splines, so that any
    part can be computed without the rest.

    Parameters
    ----------
    rng
        Draws the nodes, once.
    size
        Edge of the square in pixels.
    spacing
        Distance of the nodes in pixels; spots are about twice as large.
    """

    def __init__(self, rng: np.random.Generator, size: int, spacing: float) -> None:
        count = int(np.ceil(size / spacing)) + 4
        self._spacing = spacing
        self._nodes = rng.standard_normal((count, count), dtype=np.float32)

    def sample(
        self, rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64]
    ) -> FloatArray:
        """Return the field at each pair of a row and a column, (rows, cols) float32."""
        down = self._weights(rows) @ self._nodes
        field = (self._weights(cols) @ np.ascontiguousarray(down.T)).T
        return np.asarray(field / np.float32(_SPLINE_STD), np.float32)

    def _weights(self, places: npt.NDArray[np.int64]) -> "sparse.csr_array[np.float32]":
        at = places / self._spacing
        first = np.floor(at).astype(np.int64)
        t = at - first
        # The four pieces of the uniform cubic B-spline.
        pieces = np.stack(
            [
                (1 - t) ** 3,
                3 * t**3 - 6 * t**2 + 4,
                -3 * t**3 + 3 * t**2 + 3 * t + 1,
                t**3,
            ],
            axis=1,
        )
        nodes = first[:, None] + np.arange(4)
        starts = np.arange(0, 4 * len(places) + 1, 4)
        values = ((pieces / 6).astype(np.float32).ravel(), nodes.ravel(), starts)
        return sparse.csr_array(values, shape=(len(places), len(self._nodes)))
