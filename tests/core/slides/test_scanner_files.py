"""What is taken over from OpenSlide, and what it refuses."""

from contextlib import closing
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

from segmix_core.errors import SlideError
from segmix_core.geometry import Box
from segmix_core.slides.first_look import FirstLook
from segmix_core.slides.level_shapes import check_edges, is_smaller_copy
from segmix_core.slides.open_slide import open_slide
from segmix_core.slides.openslide_reader import OpenSlideSlide, find_bounds
from segmix_core.slides.tiff_reader import TiffSlide

NAMESPACE = "http://www.leica-microsystems.com/scn/2010/10/01"
NM = 500
"""Nanometers per pixel."""


def scn_image(name, ifd, shape, place, collection, objective=20):
    """Return the XML of an image of a Leica SCN file; ``place`` is y, x in pixels."""
    (height, width), (y, x) = shape, place
    sizes = f'sizeX="{width * NM}" sizeY="{height * NM}"'
    if collection:
        sizes = f'sizeX="{collection[1] * NM}" sizeY="{collection[0] * NM}"'
    return (
        f'<image name="{name}" uuid="urn:uuid:{name}">'
        f"<creationDate>2012-01-01T00:00:00Z</creationDate>"
        f'<device model="Leica SCN400" version="1"/>'
        f'<pixels sizeX="{width}" sizeY="{height}">'
        f'<dimension sizeX="{width}" sizeY="{height}" r="0" ifd="{ifd}"/></pixels>'
        f'<view {sizes} offsetX="{x * NM}" offsetY="{y * NM}" spacingZ="0"/>'
        f"<scanSettings><objectiveSettings><objective>{objective}</objective>"
        "</objectiveSettings><illuminationSettings><illuminationSource>brightfield"
        "</illuminationSource><numericalAperture>0.4</numericalAperture>"
        "</illuminationSettings></scanSettings></image>"
    )


@pytest.fixture
def write_scn(tmp_path, rgb):
    """Write a slide of 1000 x 1500 pixels with a macro and scanned regions."""

    def write(*regions):
        frame = (1000, 1500)
        images = [scn_image("macro", 0, (100, 150), (0, 0), frame)]
        images += [
            scn_image(f"main{index}", index + 1, *region[:2], None, *region[2:])
            for index, region in enumerate(regions)
        ]
        text = (
            f'<?xml version="1.0"?><scn xmlns="{NAMESPACE}" uuid="urn:uuid:0">'
            f'<collection name="c" uuid="urn:uuid:1" sizeX="{frame[1] * NM}" '
            f'sizeY="{frame[0] * NM}"><barcode></barcode>{"".join(images)}'
            "</collection></scn>"
        )
        path = tmp_path / "a.scn"
        with tifffile.TiffWriter(path, bigtiff=True) as tiff:
            for index, shape in enumerate([(100, 150), *(r[0] for r in regions)]):
                tiff.write(
                    rgb[: shape[0], : shape[1]],
                    tile=(64, 64),
                    compression="jpeg",
                    photometric="rgb",
                    description=text if index == 0 else None,
                    metadata=None,
                    software=False,
                    resolution=(20000, 20000),
                    resolutionunit="CENTIMETER",
                )
        return path

    return write


def test_the_bounds_of_a_scan_are_told(write_scn):
    path = write_scn(((300, 400), (160, 200)))
    slide = open_slide(path)
    assert isinstance(slide, OpenSlideSlide)
    assert slide.level_shapes[0] == (1000, 1500)
    assert slide.bounds == Box(160, 200, 300, 400)
    assert slide.read_level(0, Box(0, 0, 100, 100)).min() == 255
    assert slide.read_level(0, slide.bounds).mean() < 200
    assert slide.mpp_yx == pytest.approx((0.5, 0.5))
    with FirstLook() as look:
        assert look.header(path).bounds == slide.bounds
    slide.close()


def test_regions_that_openslide_refuses_are_not_left_out_in_silence(write_scn):
    path = write_scn(((300, 400), (0, 0)), ((200, 300), (500, 600), 40))
    with pytest.raises(SlideError, match=r"leica.*dissimilar main images") as caught:
        open_slide(path)
    assert "pyramidal TIFF" in caught.value.hint


def test_regions_that_openslide_reads_are_all_in_the_frame(write_scn):
    path = write_scn(((300, 400), (0, 0)), ((200, 300), (500, 600)))
    slide = open_slide(path)
    assert slide.bounds == Box(0, 0, 700, 900)
    assert slide.read_level(0, Box(550, 650, 50, 50)).mean() < 200
    slide.close()


def test_a_slide_without_bounds_is_its_whole_frame(write_aperio, write_pyramid):
    for path in (write_aperio(), write_pyramid()):
        slide = open_slide(path)
        assert slide.bounds is None
        slide.close()


def test_two_files_of_one_slide_have_one_identity(write_aperio, write_pyramid):
    first, second = write_aperio("a.svs"), write_aperio("b.svs")
    other = write_aperio("c.svs", text="|AppMag = 20|MPP = 0.5")
    found = []
    for path in (first, second, other, write_pyramid()):
        with closing(open_slide(path)) as slide:
            found.append(slide.identity)
    assert found[0].startswith("quickhash-1:")
    assert found[0] == found[1] != found[2]
    assert found[3] is None


def test_a_damaged_tile_takes_no_other_with_it(tmp_path, write_aperio):
    path = write_aperio()
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        offset, count = page.dataoffsets[0], page.databytecounts[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = bytes(count)
    path.write_bytes(data)
    slide = open_slide(path)
    for _ in range(2):
        with pytest.raises(SlideError, match="Part of"):
            slide.read_level(0, Box(0, 0, 20, 20))
        assert slide.read_level(0, Box(100, 100, 50, 50)).shape == (50, 50, 3)
    slide.close()


def test_a_tiff_of_no_scanner_reaches_tifffile(tmp_path, rgb):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", tile=(64, 64))
    assert openslide.OpenSlide.detect_format(path) == "generic-tiff"
    slide = open_slide(path)
    assert isinstance(slide, TiffSlide)
    np.testing.assert_array_equal(slide.read_level(0, Box(0, 0, 9, 9)), rgb[:9, :9])
    slide.close()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, None),
        ({"x": "5", "y": "6", "width": "7", "height": "8"}, Box(6, 5, 8, 7)),
        ({"x": "5", "y": "6", "width": "7"}, None),
        ({"x": "5", "y": "6", "width": "wide", "height": "8"}, None),
        ({"x": "5", "y": "6", "width": "-7", "height": "8"}, None),
        ({"x": "0", "y": "0", "width": "900", "height": "900"}, None),
        ({"x": "500", "y": "0", "width": "9", "height": "9"}, None),
        ({"x": "-5", "y": "0", "width": "15", "height": "9"}, Box(0, 0, 9, 10)),
    ],
)
def test_bounds_lie_in_the_frame(values, expected):
    properties = {f"openslide.bounds-{name}": text for name, text in values.items()}
    assert find_bounds(properties, Box(0, 0, 300, 420)) == expected


def lengthen(path, page, length):
    """Let a page state another height."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[page].tags["ImageLength"].overwrite(length)


def test_a_level_of_impossible_proportions_is_left_out_and_that_is_said(write_aperio):
    path = write_aperio()
    lengthen(path, 1, 60_000)
    slide = open_slide(path)
    assert slide.level_shapes == ((300, 420),)
    assert "do not match the largest one were skipped (1)" in slide.notes[0]
    slide.close()


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (2**22 + 1, 5), (5, 2**31)])
def test_edges_that_no_slide_has_are_refused(shape):
    with pytest.raises(SlideError, match=f"claims {shape[0]:,} x {shape[1]:,} pixels"):
        check_edges(Path("a.svs"), shape)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1000, 2000), True),
        ((500, 1000), True),
        ((63, 125), True),
        ((3, 9), True),
        ((1, 1), True),
        ((500, 1111), True),
        ((500, 1120), False),
        ((500, 890), False),
        ((1001, 2000), False),
        ((0, 0), False),
    ],
)
def test_levels_have_the_proportions_of_the_largest(shape, expected):
    assert is_smaller_copy(shape, (1000, 2000)) is expected


def test_a_tile_larger_than_the_file_never_reaches_openslide(write_aperio):
    path = write_aperio()
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tag = tiff.pages[1].tags["TileByteCounts"]
        tag.overwrite([2**31, *tag.value[1:]])
    with pytest.raises(SlideError, match="a tile larger than the file"):
        open_slide(path)
