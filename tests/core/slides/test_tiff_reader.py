import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
import tifffile

from segmix_core.errors import SlideError
from segmix_core.geometry import Box
from segmix_core.slides import tiff_reader
from segmix_core.slides.pixels import ALPHA_NOTE, GRAY_NOTE, NotThisFormatError
from segmix_core.slides.tiff_reader import open_with_tifffile

WHOLE = Box(0, 0, 300, 420)


def read(path, level=0, box=WHOLE):
    slide = open_with_tifffile(path)
    try:
        return slide.read_level(level, box)
    finally:
        slide.close()


def header(path):
    slide = open_with_tifffile(path)
    slide.close()
    return slide


@pytest.mark.parametrize("compression", ["none", "deflate", "lzw", "zstd"])
@pytest.mark.parametrize("tile", [None, (64, 64), (128, 32)])
def test_pixels_are_exact(tmp_path, rgb, compression, tile):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", compression=compression, tile=tile)
    np.testing.assert_array_equal(read(path), rgb)


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000"])
def test_lossy_pixels_are_near(tmp_path, compression):
    image = np.zeros((300, 420, 3), np.uint8) + np.uint8([200, 120, 160])
    image[100:200] = [90, 60, 140]
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, image, photometric="rgb", compression=compression, tile=(64, 64)
    )
    difference = np.abs(read(path).astype(int) - image)
    assert np.median(difference) <= 3


@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_separate_planes_are_joined(tmp_path, rgb, tile):
    path = tmp_path / "a.tif"
    planes = np.ascontiguousarray(np.moveaxis(rgb, 2, 0))
    tifffile.imwrite(
        path, planes, photometric="rgb", planarconfig="separate", tile=tile
    )
    np.testing.assert_array_equal(read(path), rgb)


@pytest.mark.parametrize("subifds", [False, True])
def test_levels_are_found_as_pages_and_as_subifds(write_pyramid, rgb, subifds):
    slide = open_with_tifffile(write_pyramid("a.ome.tif", subifds=subifds))
    assert slide.level_shapes == ((300, 420), (150, 210), (75, 105))
    for level, step in enumerate((1, 2, 4)):
        box = Box(3, 5, 60, 90)
        expected = rgb[::step, ::step][box.slices]
        np.testing.assert_array_equal(slide.read_level(level, box), expected)
    slide.close()


def test_a_box_over_the_edge_is_white_there(write_pyramid, rgb):
    part = read(write_pyramid(), box=Box(290, 410, 20, 20))
    np.testing.assert_array_equal(part[:10, :10], rgb[290:, 410:])
    assert part[10:].min() == part[:, 10:].min() == 255


def test_gray_palette_and_inverted_pixels(tmp_path, rgb):
    gray = rgb[..., 0]
    paths = [tmp_path / f"{name}.tif" for name in ("black", "white", "palette")]
    tifffile.imwrite(paths[0], gray, photometric="minisblack")
    tifffile.imwrite(paths[1], 255 - gray, photometric="miniswhite")
    colors = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16)
    tifffile.imwrite(paths[2], gray, photometric="palette", colormap=colors * 257)
    np.testing.assert_array_equal(read(paths[0]), rgb[..., [0, 0, 0]])
    np.testing.assert_array_equal(read(paths[1]), rgb[..., [0, 0, 0]])
    np.testing.assert_array_equal(read(paths[2]), colors.T[gray])
    assert [header(p).notes for p in paths] == [(GRAY_NOTE,), (GRAY_NOTE,), ()]


def test_a_color_map_of_8_bits_has_its_colors(tmp_path, rgb):
    path = tmp_path / "a.tif"
    colors = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16)
    tifffile.imwrite(path, rgb[..., 0], photometric="palette", colormap=colors)
    np.testing.assert_array_equal(read(path), colors.T[rgb[..., 0]])


@pytest.mark.parametrize("code", [65000, 315])
def test_palette_colors_without_a_color_map_are_refused(tmp_path, rgb, code):
    path = tmp_path / "a.tif"
    colors = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(
        path, rgb[..., 0], photometric="palette", colormap=colors, metadata=None
    )
    data = path.read_bytes()
    path.write_bytes(
        data.replace(
            struct.pack("<HHI", 320, 3, 768), struct.pack("<HHI", code, 3, 768)
        )
    )
    with pytest.raises(SlideError, match="color map is missing"):
        open_with_tifffile(path)


@pytest.mark.parametrize("layout", ["contig", "separate"])
@pytest.mark.parametrize(
    ("kinds", "count"), [(["unspecified"], 1), (["unspecified"] * 3, 3)]
)
def test_channels_that_are_no_alpha_are_left_out_and_that_is_said(
    tmp_path, rgb, layout, kinds, count
):
    path = tmp_path / "a.tif"
    image = np.concatenate([rgb, rgb[..., :1].repeat(count, axis=2) // 2], axis=2)
    if layout == "separate":
        image = np.ascontiguousarray(np.moveaxis(image, 2, 0))
    tifffile.imwrite(
        path, image, photometric="rgb", planarconfig=layout, extrasamples=kinds
    )
    np.testing.assert_array_equal(read(path), rgb)
    assert "extra channel" in header(path).notes[0]
    assert "ignored" in header(path).notes[0]


def test_alpha_is_found_behind_another_channel(tmp_path, rgb):
    path = tmp_path / "a.tif"
    alpha = np.full((300, 420, 1), 51, np.uint8)
    image = np.concatenate([rgb, rgb[..., :1], alpha], axis=2)
    kinds = ["unspecified", "unassalpha"]
    tifffile.imwrite(path, image, photometric="rgb", extrasamples=kinds)
    expected = rgb * 0.2 + 255 * 0.8
    assert np.abs(read(path) - expected).max() <= 1
    assert header(path).notes[0] == ALPHA_NOTE


def test_gray_with_a_channel_that_is_no_alpha(tmp_path, rgb):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        np.ascontiguousarray(rgb[..., :2]),
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unspecified"],
    )
    np.testing.assert_array_equal(read(path), rgb[..., [0, 0, 0]])
    assert header(path).notes[0] == GRAY_NOTE


@pytest.mark.parametrize(
    ("kind", "expected"), [("unassalpha", 193), ("assocalpha", 253)]
)
def test_alpha_lies_on_white(tmp_path, kind, expected):
    image = np.zeros((20, 30, 4), np.uint8) + np.uint8([100, 100, 100, 102])
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, photometric="rgb", extrasamples=[kind])
    assert read(path, box=Box(0, 0, 2, 2)).max() == expected
    assert header(path).notes == (ALPHA_NOTE,)


@pytest.mark.parametrize("alpha", [255, 254])
@pytest.mark.parametrize("turn", [1, 6])
def test_only_what_is_transparent_is_said(tmp_path, rgb, alpha, turn, monkeypatch):
    opacity = np.full(rgb.shape[:2], 255, np.uint8)
    opacity[100:150] = alpha
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        np.dstack([rgb, opacity]),
        photometric="rgb",
        extrasamples=["unassalpha"],
        extratags=[(274, 3, 1, turn, False)],
    )
    with closing(open_with_tifffile(path)) as slide:
        assert slide.notes == ((ALPHA_NOTE,) if alpha < 255 else ())
        monkeypatch.setattr("segmix_core.slides.tiff_reader.MAX_ALPHA_PIXELS", 1000)
        assert slide.notes == (ALPHA_NOTE,)


def test_a_part_that_was_never_scanned_is_white(write_pyramid, rgb):
    path = write_pyramid()
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tag = tiff.pages[0].tags["TileByteCounts"]
        tag.overwrite([0, *tag.value[1:]])
    part = read(path)
    assert part[:64, :64].min() == 255
    np.testing.assert_array_equal(part[:, 64:], rgb[:, 64:])


def test_a_part_that_was_never_scanned_is_white_where_0_is_white(tmp_path, rgb):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb[..., 0], photometric="miniswhite", tile=(64, 64))
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tag = tiff.pages[0].tags["TileByteCounts"]
        tag.overwrite([0, *tag.value[1:]])
    assert read(path)[:64, :64].min() == 255


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((9, 9, 3), np.uint16), {"photometric": "rgb"}, "16-bit uint16"),
        (np.zeros((9, 9), np.float32), {}, "32-bit float32"),
        (np.zeros((9, 9), bool), {}, "1-bit"),
        (np.zeros((9, 9, 4), np.uint8), {"photometric": "separated"}, "SEPARATED"),
        (
            np.zeros((9, 9, 5), np.uint8),
            {"photometric": "minisblack", "planarconfig": "contig"},
            "5 channel",
        ),
        (np.zeros((5, 9, 9, 3), np.uint8), {"photometric": "rgb"}, "a stack of 5"),
        (
            np.zeros((5, 9, 9, 3), np.uint8),
            {"photometric": "rgb", "metadata": None},
            "a stack of 5",
        ),
        (
            np.zeros((4, 9, 9), np.uint8),
            {"photometric": "minisblack", "ome": True, "metadata": {"axes": "ZYX"}},
            "a stack of 4",
        ),
    ],
)
def test_other_pixels_are_refused(tmp_path, image, options, message):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, **options)
    with pytest.raises(SlideError, match=message) as caught:
        open_with_tifffile(path)
    assert "8-bit RGB" in caught.value.hint


def test_a_cut_file_is_refused(tmp_path, rgb):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", metadata=None)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(SlideError, match="truncated"):
        open_with_tifffile(path)


@pytest.mark.parametrize(
    ("length", "error", "message"),
    [(3, NotThisFormatError, "no TIFF"), (60, SlideError, "a.tif is a damaged TIFF")],
)
def test_a_cut_header_is_refused(tmp_path, rgb, length, error, message):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(error, match=message):
        open_with_tifffile(path)


def test_a_tiff_without_images_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\x00\x08\x00\x00\x00")
    with pytest.raises(SlideError, match=r"a\.tif contains no image"):
        open_with_tifffile(path)


def overwrite_size(path, length, width):
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tags = tiff.pages[0].tags
        tags["ImageLength"].overwrite(length)
        tags["ImageWidth"].overwrite(width)


def test_no_pixels_are_refused(tmp_path, rgb):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", metadata=None, tile=(64, 64))
    overwrite_size(path, 0, 420)
    with pytest.raises((SlideError, NotThisFormatError)):
        open_with_tifffile(path)


def test_too_many_pixels_without_levels_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    image = np.zeros((64, 64, 3), np.uint8)
    tifffile.imwrite(path, image, photometric="rgb", metadata=None, tile=(64, 64))
    overwrite_size(path, 50_000, 50_000)
    with pytest.raises(SlideError, match="pyramidal TIFF"):
        open_with_tifffile(path)


def test_a_damaged_tile_is_an_error_when_read(tmp_path, rgb):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, rgb, photometric="rgb", metadata=None, tile=(64, 64), compression="zlib"
    )
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + 40] = b"\xff" * 40
    path.write_bytes(data)
    with pytest.raises(SlideError, match="cannot be decoded"):
        read(path)


def test_threads_read_the_same_pixels(write_pyramid, rgb):
    slide = open_with_tifffile(write_pyramid())
    boxes = [Box(y, x, 50, 70) for y in range(0, 250, 40) for x in range(0, 350, 40)]
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda box: slide.read_level(0, box), boxes * 3))
    for box, part in zip(boxes * 3, parts, strict=True):
        np.testing.assert_array_equal(part, rgb[box.slices])
    slide.close()


def test_the_cache_stays_within_its_bytes(write_pyramid, rgb, monkeypatch):
    monkeypatch.setattr(tiff_reader, "_CACHE_BYTES", 3 * 64 * 64 * 3)
    slide = open_with_tifffile(write_pyramid())
    np.testing.assert_array_equal(slide.read_level(0, WHOLE), rgb)
    assert len(slide._cache) == 3
    np.testing.assert_array_equal(slide.read_level(0, WHOLE), rgb)
    slide.close()


def test_parts_that_do_not_make_the_image_are_refused(tmp_path, rgb):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", metadata=None, tile=(64, 64))
    overwrite_size(path, 300, 820)
    with pytest.raises(SlideError, match="35 parts of 64 x 64"):
        open_with_tifffile(path)


@pytest.mark.parametrize(
    ("code", "name"),
    [(257, "imagelength"), (322, "tilewidth")],
)
def test_sizes_that_are_no_numbers_are_refused(tmp_path, rgb, code, name):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", metadata=None, tile=(64, 64))
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].tags[code].offset
    # Of type float.
    struct.pack_into("<HIf", data, offset + 2, 11, 1, 64.0)
    path.write_bytes(data)
    with pytest.raises(SlideError, match=f"damaged TIFF: its {name} is not a number"):
        open_with_tifffile(path)


def test_damaged_depths_make_no_long_sentence(tmp_path, rgb):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", metadata=None)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].tags["BitsPerSample"].valueoffset
    struct.pack_into("<HHH", data, offset, 8, 8, 16)
    path.write_bytes(data)
    with pytest.raises(SlideError, match=r"unevenly deep|damaged"):
        open_with_tifffile(path)
