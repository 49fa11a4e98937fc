from concurrent.futures import ThreadPoolExecutor

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


@pytest.mark.parametrize(
    ("kind", "expected"), [("unassalpha", 193), ("assocalpha", 253)]
)
def test_alpha_lies_on_white(tmp_path, kind, expected):
    image = np.zeros((20, 30, 4), np.uint8) + np.uint8([100, 100, 100, 102])
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, photometric="rgb", extrasamples=[kind])
    assert read(path, box=Box(0, 0, 2, 2)).max() == expected
    assert header(path).notes == (ALPHA_NOTE,)


def test_a_part_that_was_never_scanned_is_white(write_pyramid, rgb):
    path = write_pyramid()
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tag = tiff.pages[0].tags["TileByteCounts"]
        tag.overwrite([0, *tag.value[1:]])
    part = read(path)
    assert part[:64, :64].min() == 255
    np.testing.assert_array_equal(part[:, 64:], rgb[:, 64:])


@pytest.mark.parametrize(
    ("resolution", "unit", "expected"),
    [
        ((20000, 20000), "CENTIMETER", 0.5),
        ((101600, 101600), "INCH", 0.25),
        ((72, 72), "INCH", None),
        ((20000, 20000), "NONE", None),
    ],
)
def test_pixel_size_from_tags(tmp_path, rgb, resolution, unit, expected):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, rgb, photometric="rgb", resolution=resolution, resolutionunit=unit
    )
    assert header(path).mpp == expected


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [
        (0.5, "µm", 0.5),
        (250, "nm", 0.25),
        (0.001, "mm", 1.0),
        (0.5, "pixel", None),
        (0.5, None, 0.5),
    ],
)
def test_pixel_size_from_ome(tmp_path, rgb, size, unit, expected):
    path = tmp_path / "a.ome.tif"
    metadata = {"PhysicalSizeX": size, "PhysicalSizeY": size}
    if unit:
        metadata |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(path, rgb, photometric="rgb", metadata=metadata)
    assert header(path).mpp == (None if expected is None else pytest.approx(expected))


def test_damaged_ome_text_gives_no_pixel_size(tmp_path, rgb):
    path = tmp_path / "a.ome.tif"
    text = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/x"><a></OME>'
    tifffile.imwrite(path, rgb, photometric="rgb", description=text, metadata=None)
    assert header(path).mpp is None


def test_pixel_size_from_imagej_and_aperio(tmp_path, write_aperio, rgb):
    path = tmp_path / "a.tif"
    metadata = {"unit": "micron"}
    tifffile.imwrite(path, rgb, imagej=True, resolution=(4, 4), metadata=metadata)
    assert header(path).mpp == 0.25
    assert header(write_aperio()).mpp == 0.25


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
            np.zeros((3, 9, 9), np.uint8),
            {"photometric": "minisblack", "ome": True},
            "a stack of 3",
        ),
    ],
)
def test_other_pixels_are_refused(tmp_path, image, options, message):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, **options)
    with pytest.raises(SlideError, match=message) as caught:
        open_with_tifffile(path)
    assert "8-bit RGB" in caught.value.remedy


def test_a_cut_file_is_refused(tmp_path, rgb):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", metadata=None)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(SlideError, match="cut off"):
        open_with_tifffile(path)


@pytest.mark.parametrize("length", [3, 60])
def test_a_cut_header_is_no_tiff(tmp_path, rgb, length):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(NotThisFormatError):
        open_with_tifffile(path)


def test_a_tiff_without_images_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\x00\x08\x00\x00\x00")
    with pytest.raises(SlideError, match="no image in"):
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
