from pathlib import Path

import pytest
from PIL import Image

from segmix_core.errors import SlideError
from segmix_core.slides.image_folder import (
    list_files,
    natural_key,
    no_images_error,
    read_header,
    read_headers,
)


def test_numbers_sort_by_value():
    names = ["tile_10.png", "tile_2.png", "Tile_1.png", "tile_02.png", "a.png", "1.png"]
    ordered = sorted((Path(n) for n in names), key=natural_key)
    assert [p.name for p in ordered] == [
        "1.png",
        "a.png",
        "Tile_1.png",
        "tile_02.png",
        "tile_2.png",
        "tile_10.png",
    ]


def test_hidden_files_and_folders_are_left_out(tmp_path):
    (tmp_path / "masks").mkdir()
    for name in ("b.png", ".b.png", "._a.png", "a.png"):
        (tmp_path / name).touch()
    assert [p.name for p in list_files(tmp_path)] == ["a.png", "b.png"]


def test_headers_and_failures(tmp_path):
    good, bad = tmp_path / "a.png", tmp_path / "b.png"
    Image.new("L", (30, 20)).save(good)
    bad.write_bytes(b"no image")
    headers = read_headers([good, bad])
    assert headers.found == (read_header(good),)
    assert (headers.found[0].height, headers.found[0].width) == (20, 30)
    assert headers.failures[0][0] == bad
    with pytest.raises(SlideError):
        read_header(bad)


def test_a_folder_without_images_names_one_that_has_some(tmp_path):
    assert "in which the image files lie" in no_images_error(tmp_path).remedy
    for name in ("masks", "tiles"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").touch()
    assert "Choose the folder tiles" in no_images_error(tmp_path).remedy
