"""Nuclei and goblet cells of the sample slide."""

import numpy as np
import numpy.typing as npt

from segmix_core.sample.fibers import Fibers
from segmix_core.sample.glands import Gland
from segmix_core.sample.layout import GLAND, GLASS, LYMPHOID, STROMA, Layout
from segmix_core.sample.noise import FloatArray, SmoothNoise
from segmix_core.sample.spots import Spots, join_spots

_Points = npt.NDArray[np.float64]


def place_nuclei(rng: np.random.Generator, layout: Layout, fibers: Fibers) -> Spots:
    """Return the nuclei of all classes, in tissue only."""
    size = len(layout.mask)
    parts = [_gland_nuclei(rng, gland) for gland in layout.glands]
    parts += [
        _lymphocytes(rng, layout),
        _fibroblasts(rng, layout, fibers),
        _lamina_cells(rng, layout),
    ]
    nuclei = join_spots(parts)
    return nuclei.take(_class_at(layout, nuclei.y, nuclei.x, size) != GLASS)


def place_goblets(rng: np.random.Generator, layout: Layout) -> Spots:
    """Return the mucin drops in the epithelium of glands."""
    parts = [_goblets(rng, gland) for gland in layout.glands]
    goblets = join_spots(parts)
    size = len(layout.mask)
    return goblets.take(_class_at(layout, goblets.y, goblets.x, size) == GLAND)


def _class_at(
    layout: Layout, y: npt.ArrayLike, x: npt.ArrayLike, size: int
) -> npt.NDArray[np.uint8]:
    row = np.clip(np.asarray(y).astype(np.int64), 0, size - 1)
    col = np.clip(np.asarray(x).astype(np.int64), 0, size - 1)
    return layout.mask[row, col]


def _around(
    rng: np.random.Generator, gland: Gland, spacing: float, depth: tuple[float, float]
) -> tuple[_Points, _Points, _Points]:
    """Return y, x, angle of points around a gland; depth is mean and spread."""
    turn = 2 * np.pi / len(gland.outer)
    length = np.hypot(np.gradient(gland.outer), gland.outer * turn)
    count = max(4, int(length.sum() / spacing))
    at = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count
    along = np.interp(at % 1, np.cumsum(length) / length.sum(), np.arange(len(length)))
    index = along.astype(np.int64) % len(gland.outer)
    part = np.clip(rng.normal(*depth, count), 0.05, 0.92)
    inner, outer = gland.inner[index], gland.outer[index]
    radius = inner + part * (outer - inner)
    angle = along * turn
    y, x = gland.y + radius * np.sin(angle), gland.x + radius * np.cos(angle)
    return np.asarray(y, np.float64), np.asarray(x, np.float64), angle


def _gland_nuclei(rng: np.random.Generator, gland: Gland) -> Spots:
    rows = [(10.5, (0.74, 0.06))]
    if gland.is_crowded:
        rows = [(10.0, (0.80, 0.05)), (11.0, (0.52, 0.08))]
    parts = []
    for spacing, depth in rows:
        y, x, angle = _around(rng, gland, spacing, depth)
        turned = angle + rng.normal(0, 0.18, len(y))
        parts.append(_spots(rng, (y, x, turned), (8.8, 5.0), 0.82, 0.38))
    return join_spots(parts)


def _goblets(rng: np.random.Generator, gland: Gland) -> Spots:
    y, x, angle = _around(rng, gland, 17.0, (0.33, 0.05))
    keep = rng.random(len(y)) < gland.mucin
    return _spots(rng, (y[keep], x[keep], angle[keep]), (9.5, 6.8), 1.0, 0.0)


def _lymphocytes(rng: np.random.Generator, layout: Layout) -> Spots:
    y, x = _jittered(rng, len(layout.mask), 11.3)
    chance = SmoothNoise(rng, len(layout.mask), 60.0)
    crowd = 0.90 + 0.08 * _at_points(chance, y, x, len(layout.mask))
    here = _class_at(layout, y, x, len(layout.mask)) == LYMPHOID
    keep = here & (rng.random(len(y)) < crowd)
    angle = rng.uniform(0, np.pi, keep.sum())
    return _spots(rng, (y[keep], x[keep], angle), (5.7, 5.1), 1.0, 0.14)


def _fibroblasts(rng: np.random.Generator, layout: Layout, fibers: Fibers) -> Spots:
    size = len(layout.mask)
    y, x = _jittered(rng, size, 27.0)
    density = 0.42 + 0.22 * _at_points(SmoothNoise(rng, size, 120.0), y, x, size)
    here = _class_at(layout, y, x, size) == STROMA
    keep = here & (rng.random(len(y)) < density)
    y, x = y[keep], x[keep]
    angle = fibers.direction(y, x, size) + rng.normal(0, 0.15, len(y))
    return _spots(rng, (y, x, angle), (11.5, 2.7), 0.86, 0.12)


def _lamina_cells(rng: np.random.Generator, layout: Layout) -> Spots:
    """Scatter round cells in the stroma: color or shape alone must not decide."""
    size = len(layout.mask)
    y, x = _jittered(rng, size, 21.0)
    density = 0.10 + 0.16 * _at_points(SmoothNoise(rng, size, 55.0), y, x, size)
    here = _class_at(layout, y, x, size) == STROMA
    keep = here & (rng.random(len(y)) < density)
    angle = rng.uniform(0, np.pi, keep.sum())
    return _spots(rng, (y[keep], x[keep], angle), (6.0, 4.8), 0.9, 0.25)


def _jittered(
    rng: np.random.Generator, size: int, spacing: float
) -> tuple[_Points, _Points]:
    """Return points of a hexagonal grid, each moved a little."""
    count = int(size / spacing) + 1
    row, col = (a.ravel().astype(float) for a in np.mgrid[:count, :count])
    y = (row + 0.5) * spacing + rng.normal(0, 0.16 * spacing, row.size)
    x = (col + 0.5 * (row % 2)) * spacing + rng.normal(0, 0.16 * spacing, row.size)
    inside = (y >= 0) & (x >= 0) & (y < size) & (x < size)
    return y[inside], x[inside]


def _at_points(noise: SmoothNoise, y: _Points, x: _Points, size: int) -> FloatArray:
    step = 8
    coarse = np.arange(0, size + step, step)
    field = noise.sample(coarse, coarse)
    return field[(y / step).astype(np.int64), (x / step).astype(np.int64)]


def _spots(
    rng: np.random.Generator,
    places: tuple[_Points, _Points, npt.ArrayLike],
    axes: tuple[float, float],
    strength: float,
    rim: float,
) -> Spots:
    """Return ellipses that vary around a mean shape and darkness."""
    y, x, angle = (np.asarray(part, np.float32) for part in places)
    vary = np.clip(rng.normal(1, 0.13, (3, len(y))), 0.6, 1.5).astype(np.float32)
    return Spots(
        y=y,
        x=x,
        long=np.float32(axes[0]) * vary[0],
        short=np.float32(axes[1]) * vary[1],
        angle=angle,
        strength=np.float32(strength) * vary[2],
        rim=np.full(len(y), rim, np.float32) * vary[0],
    )
