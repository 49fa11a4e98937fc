"""Glands: positions, outlines, and the depth of pixels in them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box
from segmix_core.sample.noise import FloatArray

_ANGLES = 256
MIN_RADIUS_PX, MAX_RADIUS_PX = 42.0, 112.0
OUTSIDE = 9.0
"""Depth far from any gland."""


@dataclass(frozen=True, slots=True)
class Gland:
    """A closed outline around a center, with an epithelium.

    Attributes
    ----------
    y, x
        Center, in pixels.
    outer, inner
        (256,) float32: distance of the outer and of the luminal border from the
        center, in pixels, over the full circle.
    is_crowded
        Whether nuclei stand in several rows.
    mucin
        Share of the epithelium that is goblet cells, 0..1.
    """

    y: float
    x: float
    outer: FloatArray
    inner: FloatArray
    is_crowded: bool
    mucin: float


def place_glands(
    rng: np.random.Generator, candidates: npt.NDArray[np.float64]
) -> list[Gland]:
    """Place glands at candidate centers so that none overlap.

    Parameters
    ----------
    rng
        Draws sizes and shapes.
    candidates
        (n, 2) float: y, x, in the order to try them.
    """
    radii = rng.uniform(MIN_RADIUS_PX, MAX_RADIUS_PX, len(candidates))
    centers = np.empty((0, 2))
    taken = np.empty(0)
    for center, radius in zip(candidates, radii, strict=True):
        gaps = np.hypot(*(centers - center).T) - taken
        # Outlines bulge by up to a quarter; a strip of stroma stays between them.
        if len(taken) == 0 or gaps.min() > 1.12 * radius + 6:
            centers = np.vstack([centers, center])
            taken = np.append(taken, 1.12 * radius)
    return [
        _shape(rng, center, radius / 1.12)
        for center, radius in zip(centers, taken, strict=True)
    ]


def _shape(
    rng: np.random.Generator, center: npt.NDArray[np.float64], radius: float
) -> Gland:
    angles = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
    outer = np.full(_ANGLES, radius)
    ragged = np.zeros(_ANGLES)
    for wave, strength in ((2, 0.13), (3, 0.06), (4, 0.04), (5, 0.025), (9, 0.012)):
        phase = rng.uniform(0, 2 * np.pi)
        outer += radius * strength * rng.uniform(0.2, 1) * np.cos(wave * angles + phase)
        ragged += rng.uniform(0, 1) * np.cos((2 * wave - 1) * angles + phase)
    thickness = np.clip(rng.normal(34, 5), 24, 0.85 * radius) * (1 + 0.07 * ragged)
    inner = np.maximum(outer - thickness, 0.08 * radius)
    return Gland(
        y=float(center[0]),
        x=float(center[1]),
        outer=outer.astype(np.float32),
        inner=inner.astype(np.float32),
        is_crowded=bool(rng.random() < 0.35),
        mucin=float(rng.uniform(0, 1)),
    )


def gland_depth(glands: list[Gland], size: int) -> FloatArray:
    """Return (size, size) float32: below 0 in a lumen, 0..1 in epithelium, 1 at the
    outer border, above outside, up to 9 far away.
    """  # noqa: D205  (one sentence; the shape belongs to it)
    depth = np.full((size, size), OUTSIDE, np.float32)
    for gland in glands:
        reach = int(gland.outer.max() * 1.25) + 1
        top, left = int(gland.y) - reach, int(gland.x) - reach
        box = Box(top, left, 2 * reach, 2 * reach).intersect(Box(0, 0, size, size))
        dy = np.arange(box.y, box.bottom, dtype=np.float32)[:, None] - gland.y
        dx = np.arange(box.x, box.right, dtype=np.float32)[None, :] - gland.x
        turn = np.arctan2(dy, dx) * (_ANGLES / (2 * np.pi))
        index = np.floor(turn + 0.5).astype(np.int64) % _ANGLES
        inner, outer = gland.inner[index], gland.outer[index]
        own = (np.hypot(dy, dx) - inner) / (outer - inner)
        np.minimum(depth[box.slices], own, out=depth[box.slices])
    return depth
