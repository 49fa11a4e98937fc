from pathlib import Path

import numpy as np
import pytest
from napari.layers import Labels

from napari_segmix.model.placement import (
    Placement,
    gallery_pitch,
    place_gallery,
    place_slide,
)
from segmix_core.project.records import ImageRecord, TileTable, TilingPlan


def table(boxes: list[tuple[int, ...]], image_ids: list[int]) -> TileTable:
    count = len(boxes)
    zeros = np.zeros(count, np.int64)
    return TileTable(
        np.arange(count),
        np.array(image_ids),
        zeros,
        np.arange(count),
        np.array(boxes, np.int64).reshape(count, 4),
        np.full((count, 2), -1, np.int8),
        np.zeros(count, np.int8),
    )


def slide_placement(mpp: float | None = 0.25, downsample: float = 2.0) -> Placement:
    image = ImageRecord(
        7, 1, Path("s.svs"), 1000, 1500, mpp, mpp, downsample, "", "train"
    )
    tiles = table([(0, 0, 256, 256), (0, 256, 256, 256)], [7, 7])
    return place_slide(image, TilingPlan(128, 128), tiles)


def test_a_slide_lies_where_it_is() -> None:
    place = slide_placement()
    assert place.pitch == 256
    assert place.grid_shape == (4, 6)
    assert place.frames[7] == (0, 0, 1)
    assert place.unit == "um"


def test_a_slide_without_pixel_size_is_in_pixels() -> None:
    place = slide_placement(mpp=None)
    assert (place.unit, place.pixel_size) == ("pixel", 1.0)


def test_the_grid_covers_exactly_what_the_image_covers() -> None:
    place = slide_placement()
    image = Labels(np.zeros((1024, 1536), np.uint8), **place.transform(0, 0, 1))
    grid = Labels(np.zeros((4, 6), np.uint8), **place.transform(0, 0, place.pitch))
    # napari's extent is between pixel centers, a half pixel inside on each side.
    outer = [
        layer.extent.world + np.array([[-0.5], [0.5]]) * np.array(layer.scale)
        for layer in (image, grid)
    ]
    assert np.allclose(outer[0], outer[1])


@pytest.mark.parametrize(
    ("canvas", "cell"),
    [((1, 1), (0, 0)), ((255, 257), (0, 1)), ((-1, 5), None), ((5, 1600), None)],
)
def test_cell_under_the_cursor(
    canvas: tuple[float, float], cell: tuple[int, int] | None
) -> None:
    place = slide_placement()
    assert place.cell_at(*place.to_world(*canvas)) == cell


def test_index_grid_says_which_cell_holds_which_tile() -> None:
    grid = slide_placement().index_grid()
    assert grid[0, :3].tolist() == [0, 1, -1]
    assert (grid >= 0).sum() == 2


def test_gallery_cells_are_nearly_square_and_keep_the_order() -> None:
    place = place_gallery(table([(0, 0, 50, 100)] * 7, list(range(7))))
    assert place.grid_shape == (3, 3)
    assert place.cells[3].tolist() == [1, 0]
    y, x, height, width = place.boxes[4]
    assert (y, x) == (128 + 4, 128 + 4)
    assert (height, width) == (60, 120)
    assert place.frames[4] == (132, 132, 1.2)


def test_windows_are_cells_without_a_frame_of_their_image() -> None:
    boxes = [(0, 0, 64, 64), (0, 64, 64, 64), (10, 10, 64, 64)]
    place = place_gallery(table(boxes, [1, 1, 2]))
    # Image 2 is shown by one window that does not begin at its corner.
    assert place.frames == {}
    assert len(place.cells) == 3


def test_an_empty_gallery_has_one_cell() -> None:
    assert place_gallery(table([], [])).grid_shape == (1, 1)


@pytest.mark.parametrize(
    ("cells", "pitch"), [(1000, 128), (20_000, 64), (80_000, 32), (10**6, 16)]
)
def test_cells_get_smaller_when_there_are_many(cells: int, pitch: int) -> None:
    assert gallery_pitch(cells) == pitch
