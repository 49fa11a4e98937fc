"""Plan the tiles of an image."""

from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box

if TYPE_CHECKING:
    from segmix_core.project.records import TilingPlan


@dataclass(frozen=True, slots=True)
class TileGrid:
    """Tiles as columns, in reading order.

    Attributes
    ----------
    rows, cols
        (n,) int64, positions in the grid.
    boxes
        (n, 4) int64: y, x, height, width in level-0 pixels.
    """

    rows: npt.NDArray[np.int64]
    cols: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> "TileGrid":
        """Return some tiles, by positions or by a boolean mask."""
        return TileGrid(self.rows[index], self.cols[index], self.boxes[index])


def working_downsample(mpp_slide: float, mpp_wanted: float) -> float:
    """Return level-0 pixels per working pixel, at least 1.

    Rounded to a whole number if that is within 2 %, so that stored levels can be used
    without interpolation.

    Raises
    ------
    ValueError
        If a pixel size is not positive.

    Examples
    --------
    >>> working_downsample(0.2525, 0.5), working_downsample(0.3, 0.5)
    (2.0, 1.6666666666666667)
    """
    if mpp_slide <= 0 or mpp_wanted <= 0:
        raise ValueError(f"Sizes must be > 0, not {mpp_slide} and {mpp_wanted}")
    downsample = max(1.0, mpp_wanted / mpp_slide)
    whole = float(floor(downsample + 0.5))
    return whole if abs(downsample - whole) <= 0.02 * whole else downsample


def plan_grid(
    shape: tuple[int, int], downsample: float, plan: "TilingPlan"
) -> TileGrid:
    """Plan the tiles of an image.

    A tile across the right or bottom edge is kept if at least half of its height and
    width is inside; pixels beyond the edge are white. A smaller image gets one tile.

    Parameters
    ----------
    shape
        (height, width) in level-0 pixels.
    downsample
        Level-0 pixels per working pixel, >= 1.
    plan
        Edge and stride of tiles in working pixels.

    Raises
    ------
    ValueError
        If a size is not positive or ``downsample`` is below 1.

    Examples
    --------
    >>> from segmix_core.project.records import TilingPlan
    >>> plan_grid((100, 224), 1.0, TilingPlan(64, 64)).boxes[:, :2].tolist()
    [[0, 0], [0, 64], [0, 128], [0, 192], [64, 0], [64, 64], [64, 128], [64, 192]]
    """
    if min(*shape, plan.tile_px, plan.stride_px) < 1 or downsample < 1:
        raise ValueError(f"Sizes must be >= 1, not {shape}, {downsample}, {plan}")
    box = Box(0, 0, *shape).scaled(1 / downsample)
    down, across = (_starts(length, plan) for length in (box.height, box.width))
    rows = np.repeat(np.arange(len(down)), len(across))
    cols = np.tile(np.arange(len(across)), len(down))
    starts = np.stack([down[rows], across[cols]], axis=1)
    # Like Box.scaled: round edges, not sizes.
    first = np.floor(starts * downsample + 0.5).astype(np.int64)
    last = np.floor((starts + plan.tile_px) * downsample + 0.5).astype(np.int64)
    return TileGrid(rows, cols, np.concatenate([first, last - first], axis=1))


def _starts(length: int, plan: "TilingPlan") -> npt.NDArray[np.int64]:
    last = length - plan.tile_px / 2
    return np.arange(0, max(last, 0) + 1e-9, plan.stride_px).astype(np.int64)
