from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segmix_core.data.samples import (
    MaskedSamples,
    PackedMasks,
    TileSamples,
)
from segmix_core.data.tile_reader import TileReader
from segmix_core.project.records import ImageRecord, TileTable
from segmix_core.runs.results import RunMasks, create_mask

AddImage = Callable[..., ImageRecord]
MakeTable = Callable[..., TileTable]


def test_tiles_have_no_mask(add_image: AddImage, make_table: MakeTable) -> None:
    with TileReader([add_image(1)]) as reader:
        sample = TileSamples(make_table([(1, 0, 32, 16, 16)]), reader).read(0)
    assert sample.image.shape == (16, 16, 3)
    assert sample.mask is None
    assert sample.weight is None
    assert sample.corrected is None


@pytest.fixture
def samples(
    add_image: AddImage, make_table: MakeTable, tmp_path: Path
) -> tuple[MaskedSamples, np.ndarray]:
    mask = np.random.default_rng(0).choice([0, 1, 2, 255], (32, 48)).astype(np.uint8)
    create_mask(tmp_path, 1, mask.shape)[:] = mask
    corrected = np.full((32, 48), 254, np.uint8)
    corrected[:4, :4] = 2
    corrected[4:6, :4] = 255
    table = make_table([(1, 0, 0, 32, 32), (1, 32, 32, 32, 32)])
    tiles = TileSamples(table, TileReader([add_image(1, downsample=2.0)]))
    source = MaskedSamples(
        tiles,
        tiles.masks(RunMasks(tmp_path)),
        tiles.masks(lambda _image, box: corrected[box.slices]),
        corrected_weight=4,
    )
    return source, mask


def test_corrections_win_and_weigh_more(
    samples: tuple[MaskedSamples, np.ndarray],
) -> None:
    source, pseudo = samples
    sample = source.read(0)
    assert sample.image.shape == (16, 16, 3)
    assert sample.mask is not None
    assert sample.weight is not None
    assert (sample.mask[:4, :4] == 2).all()
    assert (sample.weight[:4, :4] == 4).all()
    assert (sample.mask[4:6, :4] == 255).all()
    assert (sample.weight[4:6, :4] == 0).all()
    assert sample.corrected is not None
    assert sample.corrected[:6, :4].all()
    assert sample.corrected.sum() == 24
    rest = pseudo[6:16, :16]
    assert np.array_equal(sample.mask[6:], rest)
    assert np.array_equal(sample.weight[6:], np.where(rest == 255, 0, 1))


def test_level0_boxes_meet_the_working_grid(
    samples: tuple[MaskedSamples, np.ndarray],
) -> None:
    source, pseudo = samples
    mask, _ = source.read_mask(1)
    assert np.array_equal(mask, pseudo[16:32, 16:32])


def test_without_corrections(
    samples: tuple[MaskedSamples, np.ndarray],
) -> None:
    source, pseudo = samples
    plain = MaskedSamples(source._samples, source._masks)
    sample = plain.read(0)
    assert np.array_equal(sample.mask, pseudo[:16, :16])
    assert np.array_equal(sample.weight, sample.mask != 255)
    assert sample.corrected is None


def test_pixels_are_counted(samples: tuple[MaskedSamples, np.ndarray]) -> None:
    source, _ = samples
    masks = [source.read_mask(row)[0] for row in (0, 1)]
    wanted = [sum(int((m == index).sum()) for m in masks) for index in range(3)]
    assert source.count_pixels(2).tolist() == wanted
    assert source.count_pixels(2, max_tiles=1).sum() == (masks[0] != 255).sum()


def test_corrections_need_weight(samples: tuple[MaskedSamples, np.ndarray]) -> None:
    source, _ = samples
    with pytest.raises(ValueError, match="weight > 0"):
        MaskedSamples(source._samples, source._masks, corrected_weight=0)
    with pytest.raises(ValueError, match="labels of 2 tiles, got 3"):
        MaskedSamples(source._samples, source._masks, labels=np.zeros((3, 2), np.int8))


def test_of_a_tile_without_a_mask_only_corrections_are_known(
    samples: tuple[MaskedSamples, np.ndarray],
) -> None:
    source, _ = samples
    plain = MaskedSamples(source._samples, lambda row: None)
    assert (plain.read(0).mask == 255).all()
    assert not plain.read(0).weight.any()
    assert plain.count_pixels(2).sum() == 0
    corrected = MaskedSamples(
        source._samples, lambda row: None, source._corrections, corrected_weight=4
    )
    assert (corrected.read(0).mask[:4, :4] == 2).all()
    assert corrected.read(0).weight.sum() == 4 * 16
    assert corrected.count_pixels(2).tolist() == [0, 0, 16]


def test_a_margin_is_read_with_a_tile(
    add_image: AddImage, make_table: MakeTable
) -> None:
    table = make_table([(1, 16, 16, 16, 16)])
    with TileReader([add_image(1)]) as reader:
        plain, wide = TileSamples(table, reader), TileSamples(table, reader, 8)
        image = wide.read(0).image
        assert image.shape == (32, 32, 3)
        assert np.array_equal(image[8:24, 8:24], plain.read(0).image)


def test_packed_masks_are_the_masks() -> None:
    rng = np.random.default_rng(0)
    known = [rng.integers(0, 256, (5, 7 + n)).astype(np.uint8) for n in range(4)]
    masks = PackedMasks()
    for mask in (*known, None):
        masks.add(mask)
    assert len(masks) == 5
    for row, mask in enumerate(known):
        np.testing.assert_array_equal(masks(row), mask)
    assert masks(4) is None
