"""How doubtful a prediction is in each tile, while it arrives in bands."""

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box


class TileDoubts:
    """Doubt of tiles: 1 minus the mean confidence of their pixels.

    Parameters
    ----------
    boxes
        (N, 4): y, x, height, width of each tile in working pixels. Tiles may overlap
        and stick out of the image.
    """

    def __init__(self, boxes: npt.NDArray[np.int64]) -> None:
        self._boxes = boxes
        self._sums = np.zeros(len(boxes), np.float64)
        self._pixels = np.zeros(len(boxes), np.int64)

    def add(self, box: Box, confidence: npt.NDArray[np.uint8]) -> None:
        """Count a part of the image: (h, w) uint8 at ``box``, 255 = certain."""
        first = np.maximum(self._boxes[:, :2], (box.y, box.x))
        last = np.minimum(
            self._boxes[:, :2] + self._boxes[:, 2:], (box.bottom, box.right)
        )
        touched = np.flatnonzero((last > first).all(axis=1))
        first, last = first[touched], last[touched]
        # Tiles stand in rows: few pairs of edges, so each is summed once for all.
        spans, group = np.unique(
            np.stack([first[:, 0], last[:, 0]], axis=1), axis=0, return_inverse=True
        )
        for index, (top, bottom) in enumerate(spans - box.y):
            columns = confidence[top:bottom].sum(axis=0, dtype=np.int64)
            total = np.concatenate([[0], columns.cumsum()])
            mine = group.ravel() == index
            left, right = first[mine, 1] - box.x, last[mine, 1] - box.x
            self._sums[touched[mine]] += total[right] - total[left]
        self._pixels[touched] += (last - first).prod(axis=1)

    def result(self) -> npt.NDArray[np.float32]:
        """Return the doubt (N,) in 0..1; 1 for tiles of which nothing has arrived."""
        mean = self._sums / np.maximum(self._pixels, 1) / 255
        return np.asarray(np.where(self._pixels > 0, 1 - mean, 1.0), np.float32)
