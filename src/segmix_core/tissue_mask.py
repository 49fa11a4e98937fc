"""Where a slide has tissue, as a mask."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class TissueMask:
    """Where a slide has tissue.

    Attributes
    ----------
    mask
        (H, W) bool; pixel (i, j) covers ``downsample`` level-0 pixels an edge, from
        (i, j) times ``downsample`` on.
    downsample
        Level-0 pixels per pixel of the mask, >= 1.
    """

    mask: npt.NDArray[np.bool_]
    downsample: float

    def fractions(self, boxes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the share of each box that is tissue.

        Parameters
        ----------
        boxes
            (n, 4): y, x, height, width in level-0 pixels; parts outside the slide
            count as glass.

        Returns
        -------
        ndarray
            (n,) float32 in 0..1.
        """
        height, width = self.mask.shape
        total = np.zeros((height + 1, width + 1), np.int32)
        inner = total[1:, 1:]
        np.cumsum(self.mask, axis=1, out=inner)
        np.cumsum(inner, axis=0, out=inner)
        edges = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
        first, last = (
            np.floor(edge / self.downsample + 0.5).astype(np.int64) for edge in edges
        )
        last = np.maximum(last, first + 1)
        area = (last - first).prod(axis=1)
        y0, x0 = np.clip(first, 0, self.mask.shape).T
        y1, x1 = np.clip(last, 0, self.mask.shape).T
        inside = total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0]
        return np.asarray(inside / area, np.float32)
