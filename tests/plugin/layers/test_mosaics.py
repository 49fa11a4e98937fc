import numpy as np

from napari_segmix.layers.mosaics import (
    cam_mosaic,
    coverage,
    mask_mosaic,
    resize_nearest,
    shuffled_mosaic,
)
from napari_segmix.model.placement import Placement


def slide_placement(rows=2, cols=3, pitch=64.0):
    cells = np.argwhere(np.ones((rows, cols), bool))
    corners = cells * pitch
    boxes = np.concatenate([corners, np.full((len(cells), 2), pitch)], axis=1)
    return Placement((rows, cols), pitch, cells, boxes, {})


def gallery_placement(count=4, pitch=128.0, gap=8.0):
    cells = np.stack(np.divmod(np.arange(count), 2), axis=1)
    corners = cells * pitch + gap / 2
    boxes = np.concatenate([corners, np.full((count, 2), pitch - gap)], axis=1)
    return Placement((2, 2), pitch, cells, boxes, {}, gap=gap)


def test_batch_is_nearly_square_with_clear_gaps():
    images = np.full((3, 32, 32, 3), 100, np.uint8)
    sources = np.zeros((3, 2, 2), np.int64)
    mosaic = shuffled_mosaic(images, sources, 16)
    assert mosaic.shape == (66, 66, 4)
    assert (mosaic[:32, :32] == (100, 100, 100, 255)).all()
    assert (mosaic[32:34, :, 3] == 0).all()
    assert (mosaic[34:, 34:, 3] == 0).all()


def test_only_patches_of_other_tiles_are_outlined():
    images = np.full((2, 32, 32, 3), 100, np.uint8)
    sources = np.array([[[0, 1], [0, 0]], [[1, 1], [1, 0]]])
    mosaic = shuffled_mosaic(images, sources, 16, outline=True)
    first, second = mosaic[:32, :32, :3], mosaic[:32, 34:66, :3]
    assert (first[0, 16:] == (255, 214, 0)).all()
    assert (first[:, :16] == 100).all()
    assert (second[16, 16:] == (255, 214, 0)).all()
    assert (second[:16] == 100).all()
    assert (shuffled_mosaic(images, sources, 16)[:32, :32, :3] == 100).all()


def test_patches_of_another_place_are_outlined():
    images = np.full((1, 32, 32, 3), 100, np.uint8)
    sources = np.zeros((1, 2, 2), np.int64)
    positions = np.array([[[0, 2], [1, 3]]])
    tile = shuffled_mosaic(images, sources, 16, positions=positions, outline=True)
    framed = (tile[..., 2] == 0).reshape(2, 16, 2, 16).any(axis=(1, 3))
    assert framed.tolist() == [[False, True], [True, False]]


def test_cams_of_a_slide_lie_pixel_for_pixel():
    place = slide_placement()
    maps = np.random.default_rng(0).integers(0, 255, (2, 4, 8, 8), np.uint8)
    mosaic = cam_mosaic(place, np.array([1, 5]), lambda i: maps[i], (4, 8, 8))
    assert (mosaic.y, mosaic.x, mosaic.step) == (0.0, 64.0, 8.0)
    assert mosaic.pixels.shape == (4, 16, 16)
    assert np.array_equal(mosaic.pixels[:, :8, :8], maps[0])
    assert np.array_equal(mosaic.pixels[:, 8:, 8:], maps[1])
    assert not mosaic.pixels[:, 8:, :8].any()


def test_cams_of_a_gallery_fill_their_pictures():
    place = gallery_placement()
    mosaic = cam_mosaic(
        place, np.array([0, 3]), lambda i: np.full((1, 5, 5), 200, np.uint8), (1, 5, 5)
    )
    assert mosaic.step == 4.0
    assert mosaic.pixels.shape == (1, 62, 62)
    assert (mosaic.pixels[0, :30, :30] == 200).all()
    assert not mosaic.pixels[0, 30:32].any()


def test_a_large_mosaic_is_made_coarser():
    place = slide_placement(40, 40)
    maps = np.full((2, 16, 16), 9, np.uint8)
    rows = np.arange(1600)
    mosaic = cam_mosaic(place, rows, lambda i: maps, maps.shape, max_px=20_000)
    assert mosaic.pixels.size <= 20_000 * 1.1
    assert (mosaic.pixels == 9).all()


def test_overlapping_tiles_keep_the_larger_value():
    cells = np.array([[0, 0], [0, 1]])
    boxes = np.array([[0.0, 0, 64, 64], [0, 32, 64, 64]])
    place = Placement((1, 3), 32.0, cells, boxes, {})
    maps = [np.full((1, 8, 8), value, np.uint8) for value in (50, 90)]
    mosaic = cam_mosaic(place, np.array([0, 1]), maps.__getitem__, (1, 8, 8))
    assert mosaic.pixels[0, 0].tolist() == [50] * 4 + [90] * 8


def test_masks_at_their_places():
    place = gallery_placement(3)
    mosaic = mask_mosaic(place, lambda row: np.full((7, 7), row + 1, np.uint8), step=2)
    assert mosaic.pixels.shape == (128, 128)
    assert (mosaic.pixels[2:62, 2:62] == 1).all()
    assert (mosaic.pixels[66:126, 2:62] == 3).all()
    assert not mosaic.pixels[:, 62:66].any()
    assert not mosaic.pixels[66:, 66:].any()


def test_coverage_is_where_tiles_are():
    place = slide_placement(1, 2, 10.0)
    covered = coverage(place, 5.0, (4, 4))
    assert covered.tolist() == [[True] * 4] * 2 + [[False] * 4] * 2


def test_resize_nearest():
    picture = np.arange(4, dtype=np.uint8).reshape(2, 2)
    assert resize_nearest(picture, (2, 2)) is picture
    assert resize_nearest(picture, (4, 2)).tolist() == [[0, 1], [0, 1], [2, 3], [2, 3]]
    assert resize_nearest(picture, (1, 1)).tolist() == [[3]]
