"""The pixel size that a user gives counts over that of the file, and this is said."""

import numpy as np
import pytest
import tifffile

from segmix_core.intake import add_paths
from tests.core.intake.images import PINK, save_slide


@pytest.mark.parametrize(
    ("stated", "given", "used", "is_said"),
    [
        (10.0, 0.25, 0.25, True),
        (0.5, 0.25, 0.25, True),
        (0.5, 0.505, 0.505, False),
        (None, 0.25, 0.25, False),
        (0.5, None, 0.5, False),
    ],
)
def test_the_users_size_of_a_slide_counts(
    tmp_path, store, stated, given, used, is_said
):
    path = save_slide(tmp_path / "a.tif", mpp=stated)
    report = add_paths(store, [path], slide_mpp=given, tile_px=64)
    (image,) = store.images()
    assert image.mpp == pytest.approx(used)
    assert (image.mpp_y, image.mpp_x) == (image.mpp, image.mpp)
    if is_said:
        expected = f"a.tif: it states {stated:g} µm per pixel. The {given} µm"
        assert any(expected in note for note in report.notes)
    else:
        assert report.notes == ()


def test_the_users_size_of_a_folder_counts(tmp_path, store):
    for number in range(3):
        save_slide(tmp_path / "d" / f"{number}.tif", (64, 64), mpp=0.5)
    save_slide(tmp_path / "d" / "3.tif", (64, 64), mpp=0.25)
    report = add_paths(store, [tmp_path / "d"], slide_mpp=0.25)
    assert {image.mpp for image in store.images()} == {0.25}
    (note,) = report.notes
    assert (
        "0.tif states 0.5 µm per pixel, and 2 more images have their own sizes. The"
        in note
    )


def test_the_users_size_decides_the_working_resolution(tmp_path, store):
    path = save_slide(tmp_path / "a.tif", mpp=0.5)
    add_paths(store, [path], slide_mpp=0.25, tile_px=64)
    (image,) = store.images()
    assert (image.downsample, image.working_mpp) == (2.0, 0.5)


def test_the_files_broken_size_is_said_once(tmp_path, store):
    slides = [
        save_slide(tmp_path / f"{n}.tif", mpp=352.8, fill=(200, 90 + n, 150))
        for n in range(5)
    ]
    (note,) = add_paths(store, slides, tile_px=256).notes
    assert note.startswith(
        "0.tif, 1.tif, 2.tif and 2 more: The file gives a pixel size of 353"
    )
    assert "set-mpp" in note
    assert note.endswith("(5 images)")


@pytest.mark.parametrize(
    "size", [(352.8, 352.8), (0.5, 0.25)], ids=["broken", "oblong"]
)
@pytest.mark.parametrize("is_slide", [True, False], ids=["slide", "folder"])
def test_what_the_file_says_of_its_size_is_not_told_beside_the_users(
    tmp_path, store, size, is_slide
):
    edge = 600 if is_slide else 64
    tags = {"resolution": tuple(1e4 / s for s in size[::-1]), "resolutionunit": 3}
    path = tmp_path / "d" / "a.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, np.full((edge, edge, 3), PINK, np.uint8), **tags)
    report = add_paths(store, [path if is_slide else path.parent], slide_mpp=0.5)
    assert not any("square" in n or "plausible" in n for n in report.notes)
    assert store.images()[0].mpp == 0.5
