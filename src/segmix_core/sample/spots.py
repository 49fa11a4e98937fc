"""Draw many small ellipses at once."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmix_core.sample.noise import FloatArray

_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Spots:
    """Ellipses as columns of equal length n.

    Attributes
    ----------
    y, x
        Centers in pixels.
    long, short
        Half axes in pixels.
    angle
        Direction of the long axis, radians from the x axis.
    strength
        Value drawn at the center.
    rim
        Relative darkening of the border, 0..1.
    """

    y: FloatArray
    x: FloatArray
    long: FloatArray
    short: FloatArray
    angle: FloatArray
    strength: FloatArray
    rim: FloatArray

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "Spots":
        """Return some of the ellipses."""
        return Spots(
            self.y[index],
            self.x[index],
            self.long[index],
            self.short[index],
            self.angle[index],
            self.strength[index],
            self.rim[index],
        )


def join_spots(parts: list[Spots]) -> Spots:
    """Return all ellipses in one table."""
    columns = Spots.__slots__
    return Spots(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in columns)
    )


def draw_spots(spots: Spots, size: int) -> FloatArray:
    """Return (size, size) float32: the largest value of any ellipse, 0 elsewhere."""
    canvas = np.zeros((size, size), np.float32)
    if len(spots) == 0:
        return canvas
    # Group by size, so that small ones are drawn in small windows.
    order = np.argsort(spots.long, kind="stable")
    for start in range(0, len(order), _AT_ONCE):
        _draw(canvas, spots.take(order[start : start + _AT_ONCE]))
    return canvas


def _draw(canvas: FloatArray, spots: Spots) -> None:
    reach = int(np.ceil(spots.long.max())) + 1
    offsets = np.arange(-reach, reach + 1)
    rows = np.floor(spots.y).astype(np.int64)[:, None] + offsets
    cols = np.floor(spots.x).astype(np.int64)[:, None] + offsets
    dy = (rows - spots.y[:, None]).astype(np.float32)[:, :, None]
    dx = (cols - spots.x[:, None]).astype(np.float32)[:, None, :]
    cos, sin = np.cos(spots.angle), np.sin(spots.angle)
    along = dx * (cos / spots.long)[:, None, None]
    along = along + dy * (sin / spots.long)[:, None, None]
    across = dy * (cos / spots.short)[:, None, None]
    across = across - dx * (sin / spots.short)[:, None, None]
    radius = np.sqrt(along**2 + across**2)
    # A border about one pixel wide.
    inside = np.clip((1 - radius) * spots.short[:, None, None] + 0.5, 0, 1)
    paler = 1 - spots.rim[:, None, None] * np.clip(1 - radius**3, 0, 1)
    values = inside * paler * spots.strength[:, None, None]
    size = len(canvas)
    fits = (rows >= 0) & (rows < size)
    fits = fits[:, :, None] & ((cols >= 0) & (cols < size))[:, None, :]
    fits &= values > 0
    index = (rows * size)[:, :, None] + cols[:, None, :]
    np.maximum.at(canvas.reshape(-1), index[fits], values[fits])
