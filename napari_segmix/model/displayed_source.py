"""A source as it is shown: what masks are drawn over."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_segmix.model.placement import Placement
from segmix_core.geometry import Box
from segmix_core.project.matching import ImageMatcher
from segmix_core.project.records import ImageRecord, SourceKind, TileTable


@dataclass(frozen=True, slots=True, eq=False)
class DisplayedSource:
    """Images, tiles and where they lie, of one moment."""

    kind: SourceKind
    images: Sequence[ImageRecord]
    tiles: TileTable
    placement: Placement

    def image_of(self, row: int) -> ImageRecord:
        """Return the image of a tile."""
        wanted = int(self.tiles.image_ids[row])
        return next(image for image in self.images if image.id == wanted)

    def working_box(self, row: int) -> Box:
        """Return the box of a tile on the working grid of its image."""
        image = self.image_of(row)
        box = self.tiles.box(row).scaled(1 / image.downsample)
        return box.intersect(Box(0, 0, *image.working_shape))

    def rows_at(self, image_id: int, box: Box) -> list[int]:
        """Return the rows of the image's tiles that a working box touches."""
        rows = np.flatnonzero(self.tiles.image_ids == image_id)
        if not len(rows):
            return []
        # All that may touch it at once; the few that are left are looked at exactly.
        boxes = self.tiles.boxes[rows] / self.image_of(int(rows[0])).downsample
        low, size = boxes[:, :2], boxes[:, 2:]
        corner, end = np.array([box.y, box.x]), np.array([box.bottom, box.right])
        near = ((low <= end + 1) & (low + size >= corner - 1)).all(axis=1)
        return [
            int(row)
            for row in rows[near]
            if self.working_box(int(row)).intersect(box).area
        ]

    def row_of_file(self, path: Path) -> int | None:
        """Return a tile of the image that an exported file was made for, or None."""
        image = ImageMatcher(self.images).find(path.name).item
        if image is None:
            return None
        rows = np.flatnonzero(self.tiles.image_ids == image.id)
        return int(rows[0]) if len(rows) else None

    def canvas_origin(self, row: int) -> tuple[float, float, float]:
        """Return canvas y, x of the working grid's origin, and its pixel's edge."""
        level0, shown = self.tiles.boxes[row], self.placement.boxes[row]
        longest = int(np.argmax(level0[2:]))
        step = float(shown[2 + longest] / level0[2 + longest])
        y, x = shown[:2] - level0[:2] * step
        return float(y), float(x), step * self.image_of(row).downsample
