"""Many small pictures as one: shuffled batches, CAMs and masks, pure numpy."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_segmix.model.placement import Placement

Bytes = npt.NDArray[np.uint8]

MAX_MOSAIC_PX = 2**25
"""Pixels of all maps of a mosaic together; a larger one is made coarser."""
MAX_MASK_PX = 2**24
"""Pixels of a mask overlay; a larger one is made coarser."""
_GALLERY_STEPS = 32
_OUTLINE = (255, 214, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Mosaic:
    """A picture with its place: corner ``y``, ``x`` and pixel edge in canvas pixels.

    Attributes
    ----------
    pixels
        (H, W) or (C, H, W) or (H, W, 3) uint8.
    """

    pixels: Bytes
    y: float
    x: float
    step: float


def shuffled_mosaic(
    images: Bytes,
    sources: npt.NDArray[np.int64],
    patch_size: int,
    *,
    positions: npt.NDArray[np.int64] | None = None,
    outline: bool = False,
) -> Bytes:
    """Return the images of a batch side by side, nearly square, (H, W, 4) uint8 RGBA.

    Parameters
    ----------
    images
        (B, h, w, 3) uint8.
    sources
        (B, rows, cols): which image each patch came from.
    patch_size
        Edge of a patch in pixels.
    positions
        (B, rows, cols): ``row * cols + col`` of each patch in that image; None: all
        kept theirs.
    outline
        Frame the patches that came from another image or another place.
    """
    count, height, width, _ = images.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    gap = max(2, height // 32)
    pitch_y, pitch_x = height + gap, width + gap
    mosaic = np.zeros((rows * pitch_y - gap, columns * pitch_x - gap, 4), np.uint8)
    for i in range(count):
        y, x = i // columns * pitch_y, i % columns * pitch_x
        tile = mosaic[y : y + height, x : x + width]
        tile[..., :3], tile[..., 3] = images[i], 255
        if outline:
            moved = sources[i] != i
            if positions is not None:
                moved |= positions[i] != np.arange(moved.size).reshape(moved.shape)
            _outline_moved(tile, moved, patch_size)
    return mosaic


def _outline_moved(tile: Bytes, moved: npt.NDArray[np.bool_], patch_size: int) -> None:
    line = max(1, patch_size // 24)
    for row, col in np.argwhere(moved):
        y, x = row * patch_size, col * patch_size
        patch = tile[y : y + patch_size, x : x + patch_size, :3]
        patch[:line] = patch[-line:] = _OUTLINE
        patch[:, :line] = patch[:, -line:] = _OUTLINE


def cam_mosaic(
    placement: Placement,
    rows: npt.NDArray[np.int64],
    maps: Callable[[int], Bytes],
    shape: tuple[int, int, int],
    *,
    max_px: int = MAX_MOSAIC_PX,
) -> Mosaic:
    """Return the maps of some tiles at their places; the larger value where they meet.

    Parameters
    ----------
    placement
        Places of the tiles.
    rows
        (n,) rows of the tile table, n >= 1.
    maps
        Returns the (C, h, w) map of the i-th of the n tiles.
    shape
        C, h, w of the maps.
    max_px
        Most pixels of the result, C * H * W.
    """
    classes, height, _ = shape
    boxes = placement.boxes[rows]
    low = boxes[:, :2].min(axis=0)
    extent = (boxes[:, :2] + boxes[:, 2:]).max(axis=0) - low
    # A CAM pixel of a slide is a pixel of the mosaic; cells of a gallery have gaps.
    step = float(boxes[:, 2].min()) / height
    if placement.gap:
        step = placement.pitch / _GALLERY_STEPS
    step = max(step, float(np.sqrt(extent.prod() * classes / max_px)))
    size = np.maximum(np.ceil(extent / step - 1e-6).astype(int), 1)
    pixels = np.zeros((classes, *size), np.uint8)
    edges = _edges(boxes, low, step, size)
    for i, (top, left, bottom, right) in enumerate(edges.tolist()):
        place = pixels[:, top:bottom, left:right]
        np.maximum(place, resize_nearest(maps(i), place.shape[1:]), out=place)
    return Mosaic(pixels, float(low[0]), float(low[1]), step)


def resize_nearest(picture: Bytes, shape: tuple[int, int]) -> Bytes:
    """Return (..., H, W) resized to ``shape`` by taking the nearest pixel."""
    height, width = picture.shape[-2:]
    if (height, width) == shape:
        return picture
    rows = ((np.arange(shape[0]) + 0.5) * height / shape[0]).astype(int)
    cols = ((np.arange(shape[1]) + 0.5) * width / shape[1]).astype(int)
    return picture[..., rows[:, None], cols]


def mask_mosaic(
    placement: Placement,
    read: Callable[[int], Bytes],
    *,
    step: float,
) -> Mosaic:
    """Return the masks of all tiles at their places, (H, W) uint8, 0 in between.

    Parameters
    ----------
    placement
        Places of the tiles.
    read
        Returns the (h, w) mask of the tile in a row of the table.
    step
        Canvas pixels per pixel of the result.
    """
    height, width = (edge * placement.pitch for edge in placement.grid_shape)
    size = np.maximum(np.ceil(np.array([height, width]) / step - 1e-6).astype(int), 1)
    pixels = np.zeros(tuple(size), np.uint8)
    edges = _edges(placement.boxes, np.zeros(2), step, size)
    for i, (top, left, bottom, right) in enumerate(edges.tolist()):
        place = pixels[top:bottom, left:right]
        if place.size:
            place[:] = resize_nearest(read(i), place.shape)
    return Mosaic(pixels, 0.0, 0.0, step)


def coverage(
    placement: Placement, step: float, shape: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Return (H, W): which pixels of ``step`` canvas pixels belong to a tile."""
    covered = np.zeros(shape, bool)
    edges = _edges(placement.boxes, np.zeros(2), step, np.array(shape))
    for top, left, bottom, right in edges.tolist():
        covered[top:bottom, left:right] = True
    return covered


def _edges(
    boxes: npt.NDArray[np.float64],
    low: npt.NDArray[np.float64],
    step: float,
    size: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Return (n, 4): top, left, bottom, right in pixels, at least one pixel each."""
    first = np.floor((boxes[:, :2] - low) / step + 0.5).astype(np.int64)
    last = np.floor((boxes[:, :2] + boxes[:, 2:] - low) / step + 0.5).astype(np.int64)
    first = np.minimum(first, size - 1)
    last = np.minimum(np.maximum(last, first + 1), size)
    return np.concatenate([first, last], axis=1)
