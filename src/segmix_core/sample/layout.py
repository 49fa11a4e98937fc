"""The layout of tissue classes on the sample slide."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmix_core.sample.glands import Gland, gland_depth, place_glands
from segmix_core.sample.noise import FloatArray, SmoothNoise

GLASS, GLAND, STROMA, LYMPHOID = 0, 1, 2, 3
CLASS_NAMES = ("gland", "stroma", "lymphoid")

_COARSE = 8
"""Spacing of the points at which area shares are measured, in pixels."""
_TISSUE_SHARE = 0.57
_LYMPHOID_SHARE = 0.20
_GLAND_SHARE = 0.56
BAND = 512
"""Rows processed at once, to bound memory."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of a slide.

    Attributes
    ----------
    mask
        (S, S) uint8: 0 glass, 1 gland, 2 stroma, 3 lymphoid.
    depth
        (S, S) float32, see :func:`~segmix_core.sample.glands.gland_depth`.
    glands
        The glands; parts of them may be cut off by glass.
    """

    mask: npt.NDArray[np.uint8]
    depth: FloatArray
    glands: list[Gland]


class _Field:
    """Noise of several scales, plus a fixed shape, above a threshold."""

    def __init__(
        self,
        rng: np.random.Generator,
        size: int,
        scales: tuple[tuple[float, float], ...],
        falloff: float,
    ) -> None:
        self._parts = [
            (SmoothNoise(rng, size, spacing), strength) for spacing, strength in scales
        ]
        self._size = size
        self._falloff = falloff
        self.threshold = 0.0

    def sample(
        self, rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64]
    ) -> FloatArray:
        """Return the field minus its threshold."""
        y = (2 * rows / self._size - 1).astype(np.float32)[:, None]
        x = (2 * cols / self._size - 1).astype(np.float32)[None, :]
        total = -self._falloff * (y**4 + x**4) - np.float32(self.threshold)
        for noise, strength in self._parts:
            total += np.float32(strength) * noise.sample(rows, cols)
        return np.asarray(total, np.float32)


def plan_layout(rng: np.random.Generator, size: int) -> Layout:
    """Draw the layout of a slide of ``size`` x ``size`` pixels with all classes."""
    scale = max(size / 9, 150.0)
    tissue = _Field(
        rng, size, ((scale * 1.3, 1.0), (70, 0.16), (20, 0.07), (7, 0.03)), 3.6
    )
    lymphoid = _Field(rng, size, ((scale * 0.55, 1.0), (40, 0.16), (12, 0.05)), 0.0)
    glandular = _Field(rng, size, ((scale, 1.0),), 0.0)
    coarse = np.arange(0, size, _COARSE)
    is_tissue = _keep_share(tissue, coarse, _TISSUE_SHARE, None)
    is_lymphoid = _keep_share(lymphoid, coarse, _LYMPHOID_SHARE, is_tissue)
    free = is_tissue & ~is_lymphoid
    is_glandular = free & _keep_share(glandular, coarse, _GLAND_SHARE, free)
    places = np.argwhere(is_glandular)
    order = rng.permutation(len(places))[: 12 * len(places) // 50 + 8]
    jitter = rng.uniform(0, _COARSE, (len(order), 2))
    glands = place_glands(rng, places[order] * _COARSE + jitter)
    depth = gland_depth(glands, size)
    return Layout(_draw_mask(size, tissue, lymphoid, depth), depth, glands)


def _keep_share(
    field: _Field,
    coarse: npt.NDArray[np.int64],
    share: float,
    within: npt.NDArray[np.bool_] | None,
) -> npt.NDArray[np.bool_]:
    values = field.sample(coarse, coarse)
    chosen = values if within is None else values[within]
    field.threshold = float(np.quantile(chosen, 1 - share))
    return np.asarray(values > field.threshold)


def _draw_mask(
    size: int, tissue: _Field, lymphoid: _Field, depth: FloatArray
) -> npt.NDArray[np.uint8]:
    mask = np.empty((size, size), np.uint8)
    cols = np.arange(size)
    for top in range(0, size, BAND):
        rows = np.arange(top, min(top + BAND, size))
        part = mask[rows[0] : rows[-1] + 1]
        part[...] = np.where(lymphoid.sample(rows, cols) > 0, LYMPHOID, STROMA)
        part[depth[rows[0] : rows[-1] + 1] <= 1] = GLAND
        part[tissue.sample(rows, cols) <= 0] = GLASS
    return mask
