"""Plain images: endings, transparency, frames and stated sizes."""

import os
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from segmix_core.errors import SlideError
from segmix_core.geometry import Box
from segmix_core.slides.image_folder import TILE_SUFFIXES
from segmix_core.slides.open_slide import open_slide
from segmix_core.slides.pixels import ALPHA_NOTE, GRAY_NOTE


def read(path):
    """Return all pixels and the notes."""
    slide = open_slide(path)
    pixels = slide.read_level(0, Box(0, 0, *slide.level_shapes[0]))
    slide.close()
    return pixels, slide.notes


def chunk(name, data):
    crc = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + crc


def write_png(path, values, depth, kind, *chunks):
    """Write samples (H, W * samples) of ``depth`` bits."""
    rows = b""
    for row in values:
        bits = "".join(format(int(value), f"0{depth}b") for value in row)
        bits += "0" * (-len(bits) % 8)
        packed = (int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
        rows += b"\0" + bytes(packed)
    samples = {0: 1, 2: 3, 3: 1}[kind]
    width = values.shape[1] // samples
    head = struct.pack(">IIBBBBB", width, len(values), depth, kind, 0, 0, 0)
    parts = (
        chunk(b"IHDR", head),
        *chunks,
        chunk(b"IDAT", zlib.compress(rows)),
        chunk(b"IEND", b""),
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jfif", "JPEG"),
        ("a.jpe", "JPEG"),
        ("a.JPG", "JPEG"),
        ("a.jp2", "JPEG2000"),
        ("a.gif", "GIF"),
        ("a.bmp", "BMP"),
    ],
)
def test_images_of_all_endings_are_read(tmp_path, rgb, name, kind):
    path = tmp_path / name
    assert path.suffix.lower() in TILE_SUFFIXES
    image = Image.fromarray(rgb // 64 * 64)
    image.save(path, kind)
    pixels, notes = read(path)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(pixels, np.asarray(opened.convert("RGB")))
    assert notes == ()


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_of_several_frames_the_first_is_read_and_that_is_said(tmp_path, rgb, suffix):
    path = tmp_path / f"a.{suffix}"
    first, second = (Image.fromarray(p).quantize(8) for p in (rgb, 255 - rgb))
    first, second = first.convert("RGB"), second.convert("RGB")
    options = {"lossless": True} if suffix == "webp" else {}
    first.save(path, save_all=True, append_images=[second], **options)
    pixels, notes = read(path)
    assert np.abs(pixels.astype(int) - np.asarray(first)).mean() < 3
    assert "only the first" in notes[-1]


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_transparent_gray_is_white(tmp_path, rng, depth, is_first):
    values = rng.integers(0, 2**depth, (20, 37))
    clear = 0 if is_first else 2**depth - 2 if depth > 1 else 1
    trns = chunk(b"tRNS", struct.pack(">H", clear))
    pixels, notes = read(write_png(tmp_path / "a.png", values, depth, 0, trns))
    gray = values * 255 // (2**depth - 1)
    gray[values == clear] = 255
    np.testing.assert_array_equal(pixels, gray[..., None].repeat(3, axis=2))
    assert notes == (ALPHA_NOTE,)


def test_a_transparent_color_is_white(tmp_path, rgb):
    part = rgb[:20, :30].copy()
    part[3:9, 3:9] = (7, 8, 9)
    trns = chunk(b"tRNS", struct.pack(">HHH", 7, 8, 9))
    path = write_png(tmp_path / "a.png", part.reshape(20, -1), 8, 2, trns)
    pixels, notes = read(path)
    part[3:9, 3:9] = 255
    np.testing.assert_array_equal(pixels, part)
    assert notes == (ALPHA_NOTE,)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("alpha", [[0], [255, 0], [51, 102]])
def test_transparent_palette_colors_lie_on_white(tmp_path, rng, depth, alpha):
    values = rng.integers(0, 2**depth, (20, 37))
    colors = rng.integers(0, 256, (2**depth, 3)).astype(np.uint8)
    path = write_png(
        tmp_path / "a.png",
        values,
        depth,
        3,
        chunk(b"PLTE", colors.tobytes()),
        chunk(b"tRNS", bytes(alpha)),
    )
    share = np.ones((2**depth, 1))
    share[: len(alpha), 0] = np.array(alpha) / 255
    expected = (colors * share + 255 * (1 - share))[values]
    pixels, notes = read(path)
    assert np.abs(pixels - expected).max() <= 1
    assert notes == (ALPHA_NOTE,)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.jp2"])
@pytest.mark.parametrize("alpha", [255, 254])
def test_only_what_is_transparent_is_said(tmp_path, rgb, name, alpha):
    opacity = np.full(rgb.shape[:2], 255, np.uint8)
    opacity[100:150] = alpha
    path = tmp_path / name
    Image.fromarray(np.dstack([rgb, opacity])).save(path, lossless=True)
    assert read(path)[1] == ((ALPHA_NOTE,) if alpha < 255 else ())


def test_transparency_of_large_or_damaged_images_is_not_looked_for(
    tmp_path, rgb, monkeypatch
):
    path = tmp_path / "a.png"
    Image.fromarray(np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])).save(path)
    monkeypatch.setattr("segmix_core.slides.image_reader.MAX_ALPHA_PIXELS", 1000)
    assert open_slide(path).notes == (ALPHA_NOTE,)
    monkeypatch.undo()
    path.write_bytes(path.read_bytes()[:5000])
    assert open_slide(path).notes == (ALPHA_NOTE,)


def test_jpeg_2000_of_all_modes(tmp_path, rgb):
    gray, alpha = rgb[..., 0], np.full((300, 420), 51, np.uint8)
    path = tmp_path / "a.jp2"
    Image.fromarray(gray).save(path)
    pixels, notes = read(path)
    np.testing.assert_array_equal(pixels, rgb[..., [0, 0, 0]])
    assert notes == (GRAY_NOTE,)
    Image.fromarray(np.dstack([rgb, alpha])).save(path)
    pixels, notes = read(path)
    assert np.abs(pixels - (rgb * 0.2 + 204)).max() <= 1
    assert notes == (ALPHA_NOTE,)


def test_16_bit_jpeg_2000_is_refused(tmp_path):
    path = tmp_path / "a.jp2"
    deep = np.zeros((20, 30, 3), np.uint16)
    path.write_bytes(imagecodecs.jpeg2k_encode(deep, codecformat="jp2"))
    with pytest.raises(SlideError, match="16-bit pixels"):
        open_slide(path)


def patched(path, mark, offset, values, *, order="<"):
    """Overwrite numbers behind the first place of ``mark``."""
    data = bytearray(path.read_bytes())
    struct.pack_into(
        f"{order}{values[0]}", data, data.index(mark) + offset, *values[1:]
    )
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "mark", "offset", "values"),
    [
        ("a.gif", b"GIF8", 6, ("HH", 38_000, 38_000)),
        ("a.gif", b"\x2c\0\0\0\0", 5, ("HH", 38_000, 38_000)),
        ("a.bmp", b"BM", 18, ("ii", 38_000, 38_000)),
        ("a.bmp", b"BM", 18, ("ii", 2**31 - 1, 2**31 - 1)),
    ],
)
def test_stated_sizes_are_refused_before_memory_is_used(
    tmp_path, rgb, name, mark, offset, values
):
    path = tmp_path / name
    Image.fromarray(rgb).quantize(8).save(path)
    patched(path, mark, offset, values)
    with pytest.raises(SlideError, match="pixels"):
        open_slide(path)


@pytest.mark.parametrize("edge", [10_000, 38_000, 2**31 - 1])
@pytest.mark.parametrize("places", [("header",), ("pixels",), ("header", "pixels")])
def test_stated_sizes_of_jpeg_2000_are_refused(tmp_path, rgb, edge, places):
    path = tmp_path / "a.jp2"
    Image.fromarray(rgb).save(path)
    if "header" in places:
        patched(path, b"ihdr", 4, ("II", edge, edge), order=">")
    if "pixels" in places:
        patched(path, b"\xff\x4f\xff\x51", 8, ("II", edge, edge), order=">")
    with pytest.raises(SlideError, match=r"pixels|differ in size"):
        open_slide(path)


@pytest.mark.parametrize("cut", [30, 60, 90])
def test_cut_jpeg_2000_is_refused(tmp_path, rgb, cut):
    path = tmp_path / "a.jp2"
    Image.fromarray(rgb).save(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(SlideError, match="damaged"):
        open_slide(path)


def test_large_images_are_decoded_in_bands(tmp_path, rgb, monkeypatch):
    monkeypatch.setattr("segmix_core.slides.image_reader._BAND_PIXELS", 1000)
    path = tmp_path / "a.png"
    alpha = np.full((300, 420, 1), 102, np.uint8)
    Image.fromarray(np.dstack([rgb, alpha])).save(path)
    assert np.abs(read(path)[0] - (rgb * 0.4 + 153)).max() <= 1


def test_a_pipe_is_not_waited_for(tmp_path):
    path = tmp_path / "a.png"
    os.mkfifo(path)
    with pytest.raises(SlideError, match="is not a file"):
        open_slide(path)
