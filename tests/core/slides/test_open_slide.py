import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from segmix_core.errors import SlideError
from segmix_core.geometry import Box
from segmix_core.slides.image_reader import ImageSlide
from segmix_core.slides.open_slide import open_slide
from segmix_core.slides.openslide_reader import OpenSlideSlide
from segmix_core.slides.pixels import ALPHA_NOTE, GRAY_NOTE
from segmix_core.slides.tiff_reader import TiffSlide
from tests.powerless import CHECKOUT


def png_of(width, height, depth=8):
    """Return a PNG with a header and no pixels."""

    def chunk(name, data):
        crc = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + crc

    head = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", b""), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_each_format_goes_to_its_reader(tmp_path, write_pyramid, write_aperio, rgb):
    png = tmp_path / "a.png"
    Image.fromarray(rgb).save(png)
    expected = {
        write_aperio(): OpenSlideSlide,
        write_pyramid(): TiffSlide,
        png: ImageSlide,
    }
    for path, kind in expected.items():
        slide = open_slide(str(path))
        assert type(slide) is kind
        assert slide.path == path
        assert slide.level_shapes[0] == (300, 420)
        slide.close()


def test_a_scanner_file_has_levels_and_pixel_size(write_aperio, rgb):
    slide = open_slide(write_aperio())
    assert slide.mpp == 0.25
    assert slide.level_shapes == ((300, 420), (150, 210))
    part = slide.read_level(0, Box(290, 410, 20, 20))
    assert part.shape == (20, 20, 3)
    assert part[10:].min() == 255
    whole = slide.read_level(1, Box(0, 0, 150, 210))
    assert np.abs(whole.mean() - rgb[::2, ::2].mean()) < 2
    slide.close()


@pytest.mark.parametrize("text", ["|AppMag = 40", "|MPP = 350"])
def test_a_scanner_file_without_a_sane_pixel_size(write_aperio, text):
    slide = open_slide(write_aperio(text=text))
    assert slide.mpp is None
    slide.close()


def test_a_damaged_scanner_file_is_an_error_when_read(write_aperio):
    path = write_aperio()
    data = bytearray(path.read_bytes())
    start = data.find(b"\xff\xd8")
    data[start : start + 3000] = b"\x00" * 3000
    path.write_bytes(data)
    slide = open_slide(path)
    with pytest.raises(SlideError, match=r"Part of slide\.svs cannot be read"):
        slide.read_level(0, Box(0, 0, 300, 420))
    slide.close()


def test_a_scanner_file_that_openslide_cannot_open_says_so(write_aperio):
    path = write_aperio()
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(SlideError, match="damaged TIFF"):
        open_slide(path)


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_plain_images_are_exact(tmp_path, rgb, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(rgb).save(path, **({"lossless": True} if suffix == "webp" else {}))
    slide = open_slide(path)
    assert slide.mpp is None
    part = slide.read_level(0, Box(280, 10, 40, 50))
    np.testing.assert_array_equal(part[:20], rgb[280:, 10:60])
    assert part[20:].min() == 255
    slide.close()


@pytest.mark.parametrize(
    ("mode", "notes", "color"),
    [
        ("RGB", (), [10, 20, 30]),
        ("L", (GRAY_NOTE,), [10, 10, 10]),
        ("1", (GRAY_NOTE,), [255, 255, 255]),
        ("LA", (ALPHA_NOTE,), [206, 206, 206]),
        ("RGBA", (ALPHA_NOTE,), [206, 208, 210]),
        ("P", (), [0, 0, 0]),
    ],
)
def test_modes_become_rgb(tmp_path, mode, notes, color):
    value = {"RGB": (10, 20, 30), "LA": (10, 51), "RGBA": (10, 20, 30, 51), "1": 1}
    path = tmp_path / "a.png"
    image = Image.new(mode, (4, 3), value.get(mode, 10 if mode == "L" else 0))
    if mode == "P":
        image.putpalette([0, 0, 0, 9, 9, 9])
    image.save(path)
    slide = open_slide(path)
    assert slide.notes == notes
    assert slide.read_level(0, Box(0, 0, 1, 1))[0, 0].tolist() == color
    slide.close()


@pytest.mark.parametrize(
    "name", ["Präparat é 切片.tif", "tile [1 0 0].tif", "a b#1.tif"]
)
def test_unusual_names_are_no_problem(write_pyramid, rgb, name):
    slide = open_slide(write_pyramid(name))
    part = slide.read_level(0, Box(0, 0, 5, 5))
    np.testing.assert_array_equal(part, rgb[:5, :5])
    slide.close()


def test_unusual_names_reach_openslide(write_aperio):
    slide = open_slide(write_aperio("Präparat [切片].svs"))
    assert isinstance(slide, OpenSlideSlide)
    slide.close()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.png", b"", "0 bytes"),
        ("a.png", b"hello", "not a slide or image"),
        ("a.svs", b"hello", "not a slide or image"),
        ("a.png", png_of(4, 4)[:20], "a damaged PNG"),
        ("a.png", png_of(4, 4, 16), "16-bit pixels"),
        ("a.png", png_of(60_000, 60_000), "pyramidal TIFF"),
        ("a.png", png_of(38_000, 38_000), "38,000 x 38,000 pixels"),
        ("a.png", png_of(0, 4), "4 x 0|0 x 4|damaged"),
    ],
)
def test_unusable_files_are_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SlideError, match=message):
        open_slide(path)


@pytest.mark.parametrize("mode", ["CMYK", "I;16"])
def test_unusable_modes_are_refused(tmp_path, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new(mode, (4, 4)).save(path)
    with pytest.raises(SlideError, match=mode):
        open_slide(path)


def test_a_large_plain_image_gives_no_warning(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png_of(14_000, 14_000))
    assert open_slide(path).level_shapes == ((14_000, 14_000),)


def test_a_cut_image_is_an_error_when_read(tmp_path, rgb):
    path = tmp_path / "a.png"
    Image.fromarray(rgb).save(path)
    path.write_bytes(path.read_bytes()[:9000])
    slide = open_slide(path)
    with pytest.raises(SlideError, match="truncated or damaged"):
        slide.read_level(0, Box(0, 0, 9, 9))


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(SlideError, match="does not exist"):
        open_slide(tmp_path / "none.svs")
    with pytest.raises(SlideError, match="is a folder"):
        open_slide(tmp_path)


_POWERLESS = """
import sys
from segmix_core.errors import SlideError
from segmix_core.slides.open_slide import open_slide
from tests.powerless import give_up_power

give_up_power()
try:
    open_slide(sys.argv[1])
except SlideError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="other permissions")
def test_a_file_one_may_not_read_says_so(tmp_path):
    closed = tmp_path / "closed.png"
    closed.write_bytes(png_of(4, 4))
    closed.chmod(0)
    found = subprocess.run(
        [sys.executable, "-c", _POWERLESS, closed],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Permission denied" in found.stdout, found.stderr


def test_a_name_that_is_too_long_is_an_error_of_its_own(tmp_path):
    with pytest.raises(SlideError, match="cannot be opened"):
        open_slide(tmp_path / ("a" * 300))


def test_impossible_tiles_never_reach_openslide(write_aperio):
    path = write_aperio()
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name in ("TileWidth", "TileLength"):
            tiff.pages[0].tags[name].overwrite(16384)
    with pytest.raises(SlideError):
        open_slide(path).read_level(0, Box(0, 0, 9, 9))
