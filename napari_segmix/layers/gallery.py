"""A folder of tiles as a mosaic that fills while one works.

Every tile is a cell, also the windows of larger images: cells of one size can be
labeled with the same brush, rectangle and keys as the tiles of a slide.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from itertools import groupby
from time import monotonic

import numpy as np
import numpy.typing as npt

from napari_segmix.model.placement import Placement
from segmix_core.errors import SlideError
from segmix_core.geometry import Box
from segmix_core.intake.opening import OpenImage
from segmix_core.project.records import ImageRecord, TileTable
from segmix_core.slides.region import read_region
from segmix_core.slides.slide import Slide

RgbArray = npt.NDArray[np.uint8]

PLACEHOLDER = 52
"""Gray of a cell whose picture is not there yet."""
_REFRESH_SECONDS = 0.3
_SMALL_PITCH_PX = 8
"""Cells of the smallest level, in pixels."""


def empty_mosaic(
    placement: Placement, background: tuple[float, ...] = (0.0, 0.0, 0.0)
) -> list[RgbArray]:
    """Return the levels of the mosaic, (H, W, 3) each, largest first.

    Cells are gray, places without a tile of the color ``background``, 0..1. Levels
    halve: where the view is wide, only a small one is drawn.
    """
    levels = []
    empty = np.argwhere(placement.index_grid() < 0)
    color = np.rint(255 * np.array(background))
    pitch = int(placement.pitch)
    while True:
        shape = (placement.grid_shape[0] * pitch, placement.grid_shape[1] * pitch, 3)
        level = np.full(shape, PLACEHOLDER, np.uint8)
        for row, col in empty * pitch:
            level[row : row + pitch, col : col + pitch] = color
        levels.append(level)
        if pitch <= _SMALL_PITCH_PX or max(shape) <= 1024:
            return levels
        pitch //= 2


def fill_mosaic(
    levels: Sequence[RgbArray],
    placement: Placement,
    images: Sequence[ImageRecord],
    tiles: TileTable,
    open_image: OpenImage,
    clock: Callable[[], float] = monotonic,
) -> Generator[int, None, list[str]]:
    """Read the pictures into the levels; for a thread.

    Yields the number of tiles that are there, a few times a second. Returns the files
    that could not be read, whose cells stay gray.
    """
    by_id = {image.id: image for image in images}
    failed: list[str] = []
    last = clock()
    rows = range(len(tiles))
    for image_id, members in groupby(rows, lambda row: int(tiles.image_ids[row])):
        done = list(members)
        try:
            with closing(open_image(by_id[image_id])) as slide:
                _fill_image(levels, placement, slide, tiles, done)
        except (SlideError, OSError):
            failed.append(by_id[image_id].path.name)
        if clock() - last >= _REFRESH_SECONDS:
            last = clock()
            yield done[-1] + 1
    yield len(tiles)
    return failed


def _fill_image(
    levels: Sequence[RgbArray],
    placement: Placement,
    slide: Slide,
    tiles: TileTable,
    rows: Sequence[int],
) -> None:
    for row in rows:
        y, x, height, width = np.rint(placement.boxes[row]).astype(int)
        # Clipped: rounding may pass the cell by a pixel.
        picture = read_region(slide, tiles.box(row), (int(height), int(width)))
        place = Box(int(y), int(x), int(height), int(width))
        place = place.intersect(Box(0, 0, *levels[0].shape[:2]))
        levels[0][place.slices] = picture[: place.height, : place.width]
        _shrink(levels, placement, row)


def _shrink(levels: Sequence[RgbArray], placement: Placement, row: int) -> None:
    """Bring one cell of the largest level into the smaller ones."""
    cell_row, cell_col = (int(v) for v in placement.cells[row])
    pitch = int(placement.pitch)
    fine = levels[0][
        cell_row * pitch : (cell_row + 1) * pitch,
        cell_col * pitch : (cell_col + 1) * pitch,
    ]
    for level in levels[1:]:
        edge = fine.shape[0] // 2
        four = fine.reshape(edge, 2, edge, 2, 3)
        fine = four.mean(axis=(1, 3)).astype(np.uint8)
        level[
            cell_row * edge : (cell_row + 1) * edge,
            cell_col * edge : (cell_col + 1) * edge,
        ] = fine
