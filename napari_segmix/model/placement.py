"""Where the images and tiles of a source lie in the viewer.

Layers are placed in *canvas pixels*: level-0 pixels for a slide, pixels of the mosaic
for a gallery. :meth:`Placement.transform` turns canvas pixels into napari's world,
which is in micrometers where the size of a pixel is known: the scale bar is right.
"""

from dataclasses import dataclass
from math import floor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from segmix_core.project.records import ImageRecord, TileTable, TilingPlan

GALLERY_PITCH_PX = 128
"""Edge of a gallery cell with its gap, in canvas pixels."""
GALLERY_GAP = 1 / 16
"""Share of the pitch that is gap."""
_MAX_MOSAIC_BYTES = 256 * 1024**2
_MIN_PITCH_PX = 16


class Frame(NamedTuple):
    """Where an image lies: canvas pixels of its corner, and per level-0 pixel."""

    y: float
    x: float
    step: float


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """The places of N tiles.

    Attributes
    ----------
    grid_shape
        Rows and columns of the label grid, of which a cell is ``pitch`` canvas
        pixels an edge; cell (0, 0) begins at the canvas origin.
    cells
        (N, 2) int64: row and column of each tile's cell.
    boxes
        (N, 4) float64: y, x, height, width of each tile's picture, canvas pixels.
    frames
        By image id; images that are shown as several cells are missing.
    pixel_size
        World units per canvas pixel.
    unit
        Of the world: "um" or "pixel".
    gap
        Canvas pixels between the pictures of neighboring cells.
    """

    grid_shape: tuple[int, int]
    pitch: float
    cells: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float64]
    frames: dict[int, Frame]
    pixel_size: float = 1.0
    unit: str = "pixel"
    gap: float = 0.0

    def transform(self, y: float, x: float, step: float) -> dict[str, object]:
        """Return ``scale``, ``translate`` and ``units`` of a 2-D or RGB layer.

        ``y``, ``x`` is the corner of the layer's first pixel and ``step`` the edge of
        its pixels, all in canvas pixels. napari puts pixel *centers* at the
        translation, hence the half pixels.
        """
        half = (step - 1) / 2
        return {
            "scale": (step * self.pixel_size,) * 2,
            "translate": ((y + half) * self.pixel_size, (x + half) * self.pixel_size),
            "units": (self.unit, self.unit),
        }

    def to_world(self, y: float, x: float) -> tuple[float, float]:
        """Return world coordinates of a canvas position."""
        return (y - 0.5) * self.pixel_size, (x - 0.5) * self.pixel_size

    def cell_at(self, world_y: float, world_x: float) -> tuple[int, int] | None:
        """Return row and column of the cell at a world position, None outside."""
        row = floor((world_y / self.pixel_size + 0.5) / self.pitch)
        col = floor((world_x / self.pixel_size + 0.5) / self.pitch)
        inside = 0 <= row < self.grid_shape[0] and 0 <= col < self.grid_shape[1]
        return (row, col) if inside else None

    def index_grid(self) -> npt.NDArray[np.int64]:
        """Return (rows, cols) int64: the tile of each cell, -1 where there is none."""
        grid = np.full(self.grid_shape, -1, np.int64)
        grid[self.cells[:, 0], self.cells[:, 1]] = np.arange(len(self.cells))
        return grid


def place_slide(image: ImageRecord, plan: TilingPlan, tiles: TileTable) -> Placement:
    """Return the places of a slide's tiles: where they are on the slide.

    Tiles that overlap (stride below tile) get cells of one stride, at their corner.
    """
    pitch = plan.stride_px * image.downsample
    cells = np.stack([tiles.rows, tiles.cols], axis=1)
    shape = np.maximum(
        np.ceil(np.array([image.height, image.width]) / pitch).astype(int),
        cells.max(axis=0, initial=0) + 1,
    )
    return Placement(
        (int(shape[0]), int(shape[1])),
        pitch,
        cells,
        tiles.boxes.astype(np.float64),
        {image.id: Frame(0.0, 0.0, 1.0)},
        image.mpp or 1.0,
        "um" if image.mpp else "pixel",
    )


def gallery_pitch(cells: int) -> int:
    """Return the edge of a gallery cell in canvas pixels.

    A power of two, smaller for many cells so that the mosaic fits in memory.
    """
    pitch = GALLERY_PITCH_PX
    while pitch > _MIN_PITCH_PX and cells * pitch**2 * 3 > _MAX_MOSAIC_BYTES:
        pitch //= 2
    return pitch


def place_gallery(tiles: TileTable) -> Placement:
    """Return the places of a folder's tiles: one cell each, in the table's order.

    Windows of one image are cells of their own, next to each other. A picture is
    shrunk or enlarged until its longer edge fills the cell.
    """
    count = len(tiles)
    pitch = gallery_pitch(count)
    columns = max(1, int(np.ceil(np.sqrt(count))))
    rows = max(1, -(-count // columns))
    cells = np.stack(np.divmod(np.arange(count), columns), axis=1).astype(np.int64)
    gap = pitch * GALLERY_GAP
    sizes = tiles.boxes[:, 2:].astype(np.float64)
    steps = (pitch - gap) / np.maximum(sizes.max(axis=1, initial=1), 1)
    shown = np.maximum(np.rint(sizes * steps[:, None]), 1)
    corners = cells * pitch + gap / 2
    boxes = np.concatenate([corners, shown], axis=1)
    ids, first, counts = np.unique(
        tiles.image_ids, return_index=True, return_counts=True
    )
    frames = {
        int(ids[i]): Frame(
            float(corners[first[i], 0]),
            float(corners[first[i], 1]),
            float(steps[first[i]]),
        )
        for i in np.flatnonzero(counts == 1)
        if not tiles.boxes[first[i], :2].any()
    }
    return Placement((rows, columns), pitch, cells, boxes, frames, gap=gap)
