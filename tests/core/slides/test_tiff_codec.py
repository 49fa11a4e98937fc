import struct

import imagecodecs
import numpy as np
import pytest
import tifffile

from segmix_core.errors import SlideError
from segmix_core.geometry import Box
from segmix_core.slides.open_slide import open_slide
from segmix_core.slides.stated_size import read_jpeg2000_size, read_jpeg_size

COMPRESSION, PREDICTOR, PHOTOMETRIC = 259, 317, 262


def set_tag(path, code, value):
    """Overwrite the one short of a tag in little-endian TIFF."""
    entry = struct.pack("<HHI", code, 3, 1)
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, data.index(entry) + 8, value)
    path.write_bytes(data)


def write(path, rgb, **options):
    tifffile.imwrite(path, rgb, photometric="rgb", metadata=None, **options)
    return path


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (6, "old-style JPEG"),
        (32809, "THUNDERSCAN"),
        (34661, "JBIG"),
        (60123, "unknown compression 60123"),
    ],
)
def test_a_compression_that_cannot_be_read_is_named_on_opening(
    tmp_path, rgb, code, name
):
    path = write(tmp_path / "a.tif", rgb, compression="lzw")
    set_tag(path, COMPRESSION, code)
    with pytest.raises(
        SlideError, match=f"a.tif is compressed with .*{name}"
    ) as caught:
        open_slide(path)
    assert "LZW or deflate" in caught.value.hint


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "jpeg2000"])
def test_ycbcr_that_is_not_jpeg_is_refused_on_opening(tmp_path, rgb, compression):
    path = write(tmp_path / "a.tif", rgb, compression=compression)
    set_tag(path, PHOTOMETRIC, 6)
    with pytest.raises(SlideError, match="YCbCr colors"):
        open_slide(path)


def test_an_unknown_predictor_is_refused_on_opening(tmp_path, rgb):
    path = write(tmp_path / "a.tif", rgb, compression="lzw", predictor=True)
    set_tag(path, PREDICTOR, 77)
    with pytest.raises(SlideError, match="predictor 77"):
        open_slide(path)


def test_a_missing_codec_is_named_on_opening(tmp_path, rgb, monkeypatch):
    path = write(tmp_path / "a.tif", rgb, compression="jpeg2000")

    class Missing:
        available = False

    monkeypatch.setattr(imagecodecs, "JPEG2K", Missing)
    with pytest.raises(SlideError, match="no codec jpeg2k") as caught:
        open_slide(path)
    assert "Install imagecodecs" in caught.value.hint


@pytest.mark.parametrize(
    ("compression", "mark", "offset"),
    [("jpeg", b"\xff\xc0", 5), ("jpeg2000", b"\xff\x4f\xff\x51", 8)],
)
def test_tiles_that_state_a_huge_size_are_not_unpacked(
    tmp_path, rgb, compression, mark, offset
):
    path = write(tmp_path / "a.tif", rgb, compression=compression, tile=(64, 64))
    data = bytearray(path.read_bytes())
    size = (
        (">HH", 65_000, 65_000) if compression == "jpeg" else (">II", 1 << 30, 1 << 30)
    )
    struct.pack_into(size[0], data, data.index(mark) + offset, *size[1:])
    path.write_bytes(data)
    slide = open_slide(path)
    with pytest.raises(SlideError, match="it claims"):
        slide.read_level(0, Box(0, 0, 9, 9))
    assert slide.read_level(0, Box(200, 300, 9, 9)).shape == (9, 9, 3)
    slide.close()


def test_a_strip_of_impossible_size_is_refused_on_opening(tmp_path, rgb):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, rgb, photometric="rgb", metadata=None, compression="lzw", rowsperstrip=300
    )
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tags = tiff.pages[0].tags
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tags[name].overwrite(35_000)
    with pytest.raises(SlideError, match="35,000 x 35,000 pixels"):
        open_slide(path)


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"level": 30}])
def test_the_size_that_jpeg_states(rgb, options):
    data = imagecodecs.jpeg8_encode(rgb, **options)
    stated = read_jpeg_size(data)
    assert (stated.height, stated.width, stated.bits) == (300, 420, 8)
    start = data.index(b"\xff\xc0")
    assert read_jpeg_size(b"\0\xff" + data[:2] + b"\xff" + data[2:]) == stated
    for cut in (
        b"",
        data[:start],
        data[: start + 4],
        b"\xff\xd8\xff\xda\0\x02\xff\xc0",
    ):
        assert read_jpeg_size(cut) is None


def test_the_size_that_jpeg_2000_states(rgb):
    data = imagecodecs.jpeg2k_encode(rgb.astype(np.uint16) * 9)
    stated = read_jpeg2000_size(data)
    assert (stated.height, stated.width, stated.bits) == (300, 420, 16)
    assert read_jpeg2000_size(data[:30]) is None
    assert read_jpeg2000_size(b"") is None
