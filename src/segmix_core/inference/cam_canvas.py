"""CAMs of overlapping tiles, averaged on one grid."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box
from segmix_core.project.records import LabelState


class CamCanvas:
    """Mean of the CAMs of tiles that overlap, on the CAM grid of a region.

    Needs 4 (C + 1) / stride² bytes per working pixel of the region. For a slide
    that is too large, use a canvas per band of tile rows and add to each the tiles that
    touch it.

    Parameters
    ----------
    region
        Working pixels that the canvas covers: the image or a part of it.
    num_classes
        C.
    stride
        Working pixels per CAM cell, > 0.

    Notes
    -----
    Tiles are placed at the nearest cell, at most half a cell off. A tile in which a
    class is labeled absent has a map of zeros for it, which takes half of the class
    away from a neighbor that overlaps once: what a person said counts in both tiles.
    """

    def __init__(self, region: Box, num_classes: int, stride: float) -> None:
        if stride <= 0:
            raise ValueError(f"Expected a stride > 0, got {stride}")
        self._stride = stride
        cells = self._cells_of(region)
        # Rounding may put the last tile one cell beyond the region's own.
        self._cells = Box(cells.y, cells.x, cells.height + 1, cells.width + 1)
        shape = (self._cells.height, self._cells.width)
        self._sums = np.zeros((num_classes, *shape), np.float32)
        self._counts = np.zeros(shape, np.float32)

    def add(
        self,
        cam: npt.NDArray[np.floating],
        box: Box,
        labels: npt.NDArray[np.integer] | None = None,
    ) -> None:
        """Add the CAM (C, h, w) of the tile at ``box``, working pixels.

        ``labels`` (C,) of -1, 0, 1: maps of absent classes count as zero. Cells that
        stick out of the box (padding) or of the canvas are cut off.
        """
        place = self._cells_of(box)
        inside = place.intersect(self._cells)
        part = Box(place.y, place.x, *cam.shape[1:]).intersect(inside)
        if part.area == 0:
            return
        values = cam[(slice(None), *part.slices_in(place))]
        if labels is not None:
            values = values * (labels != LabelState.ABSENT)[:, None, None]
        target = part.slices_in(self._cells)
        self._sums[(slice(None), *target)] += values
        self._counts[target] += 1

    def read(self, box: Box) -> npt.NDArray[np.float32]:
        """Return the mean CAM (C, h, w) of a tile inside the region; 0 if none added.

        Raises
        ------
        ValueError
            If the tile sticks out of the region.
        """
        place = self._cells_of(box)
        if place.intersect(self._cells) != place:
            raise ValueError(f"{box} is not inside the region of the canvas")
        index = place.slices_in(self._cells)
        counts = np.maximum(self._counts[index], 1)
        return np.asarray(self._sums[(slice(None), *index)] / counts, np.float32)

    def _cells_of(self, box: Box) -> Box:
        """Return the cells of a box: first cell rounded, size rounded up.

        The size depends on the size of the box alone, so it equals that of the tile's
        CAM wherever the tile lies.
        """
        first = Box(box.y, box.x, 0, 0).scaled(1 / self._stride)
        height, width = (
            int(np.ceil(size / self._stride)) for size in (box.height, box.width)
        )
        return Box(first.y, first.x, height, width)


def any_overlap(boxes: Sequence[Box]) -> bool:
    """Return whether any two boxes share a pixel, wherever they lie."""
    ordered = sorted(boxes)
    edges = np.array([(b.y, b.x, b.bottom, b.right) for b in ordered]).reshape(-1, 4)
    tops, lefts, bottoms, rights = edges.T
    # Of the boxes further down only those that begin above the end of one can touch it.
    ends = np.searchsorted(tops, bottoms)
    for row, end in enumerate(ends):
        later = slice(row + 1, end)
        height = np.minimum(bottoms[later], bottoms[row]) - tops[later]
        width = np.minimum(rights[later], rights[row])
        width -= np.maximum(lefts[later], lefts[row])
        if ((height > 0) & (width > 0)).any():
            return True
    return False
