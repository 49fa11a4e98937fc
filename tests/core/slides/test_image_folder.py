from pathlib import Path

from PIL import Image

from segmix_core.slides.image_folder import (
    folders_with_images,
    list_files,
    list_images,
    natural_key,
    no_images_error,
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


def test_images_are_told_from_strangers_and_other_files(tmp_path):
    for name in ("a.png", "b.tif", "s.svs", "c.jxl", "Thumbs.db", "t.txt", "d.csv"):
        (tmp_path / name).write_bytes(b"something")
    for name, kind in (("e.xyz", "PNG"), ("f", "JPEG"), ("g.txt", "TIFF")):
        Image.new("L", (30, 20)).save(tmp_path / name, kind)
    (tmp_path / "h.bin").write_bytes(bytes(128) + b"DICM")
    found = list_images(tmp_path)
    assert [p.name for p in found.tiles] == ["a.png", "b.tif"]
    assert [p.name for p in found.slides] == ["s.svs"]
    names = ["c.jxl", "e.xyz", "f", "g.txt", "h.bin"]
    assert [p.name for p in found.strangers] == names


def test_strangers_alone_are_named(tmp_path):
    (tmp_path / "a.jxl").touch()
    error = no_images_error(tmp_path, list_images(tmp_path).strangers)
    assert "only other image files such as a.jxl" in error.message


def test_a_folder_without_images_names_one_that_has_some(tmp_path):
    assert "that contains the image files" in no_images_error(tmp_path).hint
    for name in ("masks", "tiles"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").touch()
    assert "Choose its subfolder tiles" in no_images_error(tmp_path).hint


def test_folders_of_masks_and_the_like_have_no_images(tmp_path):
    names = "t10/a.png t2/a.SVS t3/a.txt t4/a.dcm Labels/a.png masks/a.png gt/a.png"
    for name in (*names.split(), "annotations/a.png", ".x/a.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    found = folders_with_images(tmp_path)
    assert [path.name for path in found] == ["t2", "t4", "t10"]
