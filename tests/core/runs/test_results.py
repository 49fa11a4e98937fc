import sys
from pathlib import Path

import numpy as np
import pytest

from segmix_core.errors import JobError
from segmix_core.geometry import Box
from segmix_core.runs import results


def test_a_mask_is_ignored_everywhere_until_written(tmp_path: Path) -> None:
    mask = results.create_mask(tmp_path, 3, (70, 90))
    mask[10:20, 10:20] = 2
    part = results.read_mask(tmp_path, 3, Box(15, 5, 10, 10))
    expected = np.full((10, 10), 255)
    expected[:5, 5:] = 2
    np.testing.assert_array_equal(part, expected)


def test_reading_beyond_the_image_gives_ignored_pixels(tmp_path: Path) -> None:
    results.create_mask(tmp_path, 1, (8, 8))[:] = 1
    part = results.read_mask(tmp_path, 1, Box(-2, 6, 4, 4))
    np.testing.assert_array_equal(part[2:, :2], 1)
    assert (part == 255).sum() == 12


def test_masks_are_opened_once(tmp_path: Path) -> None:
    mask = np.arange(48, dtype=np.uint8).reshape(6, 8)
    results.create_mask(tmp_path, 7, (6, 8))[:] = mask
    masks = results.RunMasks(tmp_path)
    assert np.array_equal(masks(7, Box(1, 2, 3, 4)), mask[1:4, 2:6])
    (tmp_path / "masks.zarr" / "7" / "zarr.json").unlink()
    beyond = masks(7, Box(4, 6, 4, 4))
    assert np.array_equal(beyond[:2, :2], mask[4:, 6:])
    assert (beyond[2:] == 255).all()
    assert (masks(7, Box(10, 10, 2, 2)) == 255).all()
    assert (masks(8, Box(0, 0, 2, 2)) == 255).all()


def test_a_run_without_masks_has_none(tmp_path: Path) -> None:
    assert results.mask_ids(tmp_path) == ()
    assert results.open_mask(tmp_path, 1) is None
    assert (results.read_mask(tmp_path, 1, Box(0, 0, 2, 2)) == 255).all()


def test_masks_are_listed_by_image_id(tmp_path: Path) -> None:
    for image_id in (12, 3):
        results.create_mask(tmp_path, image_id, (4, 4))
    assert results.mask_ids(tmp_path) == (3, 12)
    assert results.open_mask(tmp_path, 4) is None


def test_cams_come_back(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).integers(0, 256, (5, 2, 4, 4), np.uint8)
    results.create_cams(tmp_path, 5, 2, (4, 4))[:] = maps
    np.testing.assert_array_equal(results.open_cams(tmp_path)[:], maps)


def test_missing_cams_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="segmix cams"):
        results.open_cams(tmp_path)
    results.create_mask(tmp_path, 1, (2, 2))
    (tmp_path / "masks.zarr").rename(tmp_path / "cams.zarr")
    with pytest.raises(JobError, match="segmix cams"):
        results.open_cams(tmp_path)


def test_tile_columns_come_back(tmp_path: Path) -> None:
    columns = {"tile_ids": np.arange(4), "doubt": np.linspace(0, 1, 4)}
    results.save_tiles(tmp_path, columns)
    loaded = results.load_tiles(tmp_path)
    assert loaded.keys() == columns.keys()
    np.testing.assert_array_equal(loaded["doubt"], columns["doubt"])


def test_missing_tile_columns_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="no table of tiles"):
        results.load_tiles(tmp_path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"doubt": np.zeros(3)}, "no column tile_ids"),
        ({"tile_ids": np.zeros(3)}, "an invalid column tile_ids"),
        ({"tile_ids": np.zeros((3, 1), int)}, "an invalid column tile_ids"),
        ({"tile_ids": np.arange(3), "doubt": np.zeros(4)}, "an invalid column doubt"),
        (
            {"tile_ids": np.arange(1), "doubt": np.array([np.nan])},
            "an invalid column doubt",
        ),
        (
            {"tile_ids": np.arange(1), "stride": np.asarray(0)},
            "an invalid column stride",
        ),
        ({"tile_ids": np.arange(1), "stride": np.ones(1)}, "an invalid column stride"),
        (
            {"tile_ids": np.arange(1), "class_names": np.arange(2)},
            "an invalid column class_names",
        ),
        (
            {"tile_ids": np.arange(1), "shared_foreground": np.arange(2)},
            "an invalid column shared_foreground",
        ),
    ],
)
def test_columns_of_another_kind_are_an_error(tmp_path, columns, message):
    results.save_tiles(tmp_path, columns | {"more": np.eye(3)})
    with pytest.raises(JobError, match=message):
        results.load_tiles(tmp_path)


def test_a_mask_of_another_size_is_an_error(tmp_path):
    results.create_mask(tmp_path, 1, (8, 9))
    assert results.open_mask(tmp_path, 1, (8, 9)).shape == (8, 9)
    with pytest.raises(JobError, match=r"is 9 x 8 pixels, but the image is 90 x 80\."):
        results.open_mask(tmp_path, 1, (80, 90))


def test_names_of_other_things_are_no_image_ids(tmp_path):
    results.create_mask(tmp_path, 1, (8, 9))
    for name in ("x", "-3", "1" * 30, "7"):
        (tmp_path / "masks.zarr" / name).mkdir()
    assert results.mask_ids(tmp_path) == (1,)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_nothing_is_written_through_a_link(tmp_path):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").touch()
    (run / "masks.zarr").mkdir(parents=True)
    (run / "masks.zarr" / "1").symlink_to(elsewhere)
    (run / "cams.zarr").symlink_to(elsewhere)
    with pytest.raises(JobError, match="is a symbolic link"):
        results.create_mask(run, 1, (4, 4))
    with pytest.raises(JobError, match="is a symbolic link"):
        results.create_cams(run, 1, 1, (4, 4))
    assert [path.name for path in elsewhere.iterdir()] == ["mine"]
