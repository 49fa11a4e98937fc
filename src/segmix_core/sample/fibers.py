"""Wavy fibers: their phase, their texture and their direction."""

import numpy as np
import numpy.typing as npt

from segmix_core.sample.noise import FloatArray, SmoothNoise

_TABLE = 4096
_WAVELENGTH_PX = 19.0


class Fibers:
    """A field of wavy bundles of varying width.

    Fibers are lines of equal phase. The phase increases across the slide and is bent by
    noise; a table of random values over the phase gives the darkness of each fiber, so
    that no two bundles are alike.
    """

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        turn = rng.uniform(0, np.pi)
        self._slope = np.array([np.sin(turn), np.cos(turn)]) / _WAVELENGTH_PX
        self._bends = [
            (SmoothNoise(rng, size, 260.0), 6.5),
            (SmoothNoise(rng, size, 75.0), 1.5),
            (SmoothNoise(rng, size, 22.0), 0.38),
        ]
        self._table = self._random_table(rng)

    @staticmethod
    def _random_table(rng: np.random.Generator) -> FloatArray:
        places = np.arange(_TABLE * 8) / 8
        total = np.zeros(len(places))
        for step, strength in ((0.25, 0.35), (0.5, 0.6), (1.0, 1.0), (3.0, 0.5)):
            nodes = rng.standard_normal(int(_TABLE / step) + 2)
            total += strength * np.interp(places / step, np.arange(len(nodes)), nodes)
        ranks = np.argsort(np.argsort(total))
        return np.asarray(ranks / len(ranks), np.float32)

    def phase(
        self, rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64]
    ) -> FloatArray:
        """Return (rows, cols) float32 phase; one unit is about one bundle."""
        down = np.asarray(rows * self._slope[0], np.float32)
        total = down[:, None] + np.asarray(cols * self._slope[1], np.float32)
        for noise, strength in self._bends:
            total += np.float32(strength) * noise.sample(rows, cols)
        return total

    def texture(
        self, rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64]
    ) -> FloatArray:
        """Return (rows, cols) float32 in 0..1: the density of fibers."""
        phase = self.phase(rows, cols)
        strands = self._look_up(phase * np.float32(3.7) + np.float32(911))
        return np.float32(0.65) * self._look_up(phase) + np.float32(0.35) * strands

    def _look_up(self, phase: FloatArray) -> FloatArray:
        place = phase * np.float32(8)
        low = np.floor(place)
        part = place - low
        first = low.astype(np.int64) % len(self._table)
        second = (first + 1) % len(self._table)
        value = self._table[first] * (1 - part) + self._table[second] * part
        return np.asarray(value, np.float32)

    def direction(
        self, y: npt.NDArray[np.float64], x: npt.NDArray[np.float64], size: int
    ) -> FloatArray:
        """Return the angle of the fiber at each point, radians from the x axis."""
        step = 8
        coarse = np.arange(0, size + step, step)
        phase = self.phase(coarse, coarse)
        down = np.asarray(np.gradient(phase, axis=0))
        across = np.asarray(np.gradient(phase, axis=1))
        row, col = (np.asarray(p / step, np.int64) for p in (y, x))
        # Fibers are perpendicular to the gradient of the phase.
        angle = np.arctan2(down[row, col], across[row, col]) + np.pi / 2
        return np.asarray(angle, np.float32)
