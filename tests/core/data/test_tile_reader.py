from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmix_core.data import tile_reader
from segmix_core.data.tile_reader import TileReader, pad_tile
from segmix_core.errors import SlideError
from segmix_core.geometry import Box
from segmix_core.project.records import ImageRecord
from segmix_core.slides.stain import StainNormalizer, find_tissue_colors, measure_stain

AddImage = Callable[..., ImageRecord]


def pixels_of(record: ImageRecord) -> np.ndarray:
    with Image.open(record.path) as image:
        return np.asarray(image)


def test_tile_at_full_resolution_is_the_pixels(add_image: AddImage) -> None:
    record = add_image(1)
    with TileReader([record]) as reader:
        tile, valid = reader.read(1, Box(8, 16, 32, 32), 32)
    assert valid == (32, 32)
    assert np.array_equal(tile, pixels_of(record)[8:40, 16:48])


def test_tile_on_a_coarser_grid_is_an_area_average(add_image: AddImage) -> None:
    record = add_image(1, (64, 96), downsample=2.0)
    with TileReader([record]) as reader:
        assert reader.working_box(1, Box(8, 16, 32, 32)) == Box(4, 8, 16, 16)
        tile, valid = reader.read(1, Box(8, 16, 32, 32), 16)
    assert valid == (16, 16)
    part = pixels_of(record)[8:40, 16:48].astype(float)
    mean = part.reshape(16, 2, 16, 2, 3).mean((1, 3))
    np.testing.assert_allclose(tile, mean, atol=1)


def test_small_tile_is_reflected_below_and_right(add_image: AddImage) -> None:
    record = add_image(1, (5, 7))
    with TileReader([record]) as reader:
        tile, valid = reader.read(1, Box(0, 0, 5, 7), 16)
    assert valid == (5, 7)
    assert tile.shape == (16, 16, 3)
    plain = pixels_of(record)
    assert np.array_equal(tile[:5, :7], plain)
    assert np.array_equal(tile[5, :7], plain[3])
    assert np.array_equal(tile[:5, 7], plain[:, 5])


def test_padding_reflects_again_and_again_and_repeats_a_single_pixel() -> None:
    padded = pad_tile(np.array([[1, 2]], np.uint8), 4)
    assert padded.tolist() == [[1, 2, 1, 2]] * 4
    assert (pad_tile(np.full((1, 1, 3), 7, np.uint8), 4) == 7).all()


def test_tile_larger_than_asked_is_an_error() -> None:
    with pytest.raises(ValueError, match="at most 4 pixels, got 5 x 3"):
        pad_tile(np.zeros((5, 3)), 4)


def test_cache_keeps_what_fits(
    add_image: AddImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = add_image(1)
    read: list[Box] = []
    original = tile_reader.read_region

    def counted(slide, box, shape):  # type: ignore[no-untyped-def]
        read.append(box)
        return original(slide, box, shape)

    monkeypatch.setattr(tile_reader, "read_region", counted)
    first, second = Box(0, 0, 16, 16), Box(16, 0, 16, 16)
    with TileReader([record], cache_bytes=16 * 16 * 3) as reader:
        for _ in range(2):
            reader.read_pixels(1, first)
            reader.read_pixels(1, second)
        with pytest.raises(ValueError, match="read-only"):
            reader.read_pixels(1, first)[0] = 0
    assert read == [first, second, second]


def test_few_files_are_open_at_once(add_image: AddImage) -> None:
    records = [add_image(number) for number in range(4)]
    with TileReader(records, cache_bytes=0, max_open=2) as reader:
        for record in records:
            reader.read_pixels(record.id, Box(0, 0, 8, 8))
        assert list(reader._slides) == [2, 3]
        reader.read_pixels(2, Box(8, 0, 8, 8))
        reader.read_pixels(0, Box(8, 0, 8, 8))
        assert list(reader._slides) == [2, 0]
    assert not reader._slides


def test_missing_file_is_named(add_image: AddImage) -> None:
    record = add_image(1)
    record.path.unlink()
    with (
        TileReader([record]) as reader,
        pytest.raises(SlideError, match=r"image1\.png"),
    ):
        reader.read_pixels(1, Box(0, 0, 8, 8))


def test_damaged_file_is_named(add_image: AddImage) -> None:
    record = add_image(1)
    record.path.write_bytes(record.path.read_bytes()[:900])
    with (
        TileReader([record]) as reader,
        pytest.raises(SlideError, match=r"image1\.png"),
    ):
        reader.read_pixels(1, Box(0, 0, 64, 96))


def test_file_system_error_is_named(
    add_image: AddImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        raise OSError("Stale file handle")

    monkeypatch.setattr(tile_reader, "open_slide", fail)
    with (
        TileReader([add_image(1)]) as reader,
        pytest.raises(
            SlideError, match=r"image1\.png cannot be read \(Stale file handle\)"
        ),
    ):
        reader.read_pixels(1, Box(0, 0, 8, 8))


def test_file_that_has_changed_is_not_used(add_image: AddImage) -> None:
    record = replace(add_image(1), height=128)
    with (
        TileReader([record]) as reader,
        pytest.raises(SlideError, match=r"64 x 96 pixels, not 128 x 96"),
    ):
        reader.read_pixels(1, Box(0, 0, 8, 8))


def test_wrong_use() -> None:
    with pytest.raises(ValueError, match="bytes >= 0"):
        TileReader([], cache_bytes=-1)
    with pytest.raises(ValueError, match="known image, got id 3"):
        TileReader([]).read_pixels(3, Box(0, 0, 1, 1))


@pytest.mark.parametrize("downsample", [1.0, 2.0])
@pytest.mark.parametrize("start", [(0, 0), (16, 32), (32, 64)])
def test_a_tile_is_read_with_what_is_around_it(
    add_image: AddImage, downsample: float, start: tuple[int, int]
) -> None:
    record = add_image(1, (64, 96), downsample=downsample)
    with TileReader([record]) as reader:
        whole, _ = reader.read(1, Box(0, 0, 64, 96), 96)
        height, width = record.working_shape
        whole = whole[:height, :width]
        box = Box(*start, 32, 32)
        inner = reader.working_box(1, box)
        around = reader.read_around(1, box, 6)
    beyond = np.pad(whole, [(6, 6), (6, 6), (0, 0)], mode="reflect")
    expected = beyond[inner.y :, inner.x :][: inner.height + 12, : inner.width + 12]
    assert around.dtype == np.uint8
    np.testing.assert_allclose(around.astype(int), expected, atol=1)


def test_tiles_are_normalized_by_the_group_of_their_image(add_image: AddImage) -> None:
    records = [replace(add_image(i, (160, 200)), group="case") for i in (1, 2)]
    images = [pixels_of(record) for record in records]
    stain = measure_stain([find_tissue_colors(image) for image in images])
    expected = StainNormalizer(stain)(images[0])
    with TileReader(records, normalize_stain=True) as reader:
        tile = reader.read_pixels(1, Box(8, 16, 32, 32))
        around = reader.read_around(1, Box(8, 16, 32, 32), 4)
    assert np.array_equal(tile, expected[8:40, 16:48])
    assert np.array_equal(around, expected[4:44, 12:52])
    assert not np.array_equal(tile, images[0][8:40, 16:48])


def test_a_slide_is_normalized_by_itself(add_image: AddImage) -> None:
    records = [replace(add_image(i, (160, 200)), group="case") for i in (1, 2)]
    image = pixels_of(records[0])
    expected = StainNormalizer(measure_stain([find_tissue_colors(image)]))(image)
    edges = {records[0].source_id: 32}
    with TileReader(records, normalize_stain=True, tile_px=edges) as reader:
        tile = reader.read_pixels(1, Box(0, 0, 160, 200))
    assert np.array_equal(tile, expected)


def test_an_unreadable_image_does_not_hide_the_stain_of_its_group(
    add_image: AddImage,
) -> None:
    records = [replace(add_image(i, (160, 200)), group="case") for i in range(4)]
    whole, gone, *_ = records
    records[2].path.unlink()
    gone.path.write_bytes(b"no image")
    kept = [pixels_of(records[0]), pixels_of(records[3])]
    stain = measure_stain([find_tissue_colors(image) for image in kept])
    with TileReader(records, normalize_stain=True) as reader:
        tile = reader.read_pixels(whole.id, Box(0, 0, 160, 200))
        with pytest.raises(SlideError):
            reader.read_pixels(gone.id, Box(0, 0, 160, 200))
    assert np.array_equal(tile, StainNormalizer(stain)(kept[0]))


def test_files_of_the_same_name_are_no_group(add_image: AddImage) -> None:
    records = [add_image(i, (160, 200)) for i in (1, 2)]
    named = [replace(record, group=record.path.stem) for record in records]
    twins = [replace(record, path=records[0].path, group="image1") for record in named]
    for images in (named, twins, records):
        with TileReader(images, normalize_stain=True) as reader:
            tile = reader.read_pixels(1, Box(8, 16, 32, 32))
        assert np.array_equal(tile, pixels_of(images[0])[8:40, 16:48])
