import struct

import numpy as np
import pytest
import tifffile

from segmix_core.geometry import Box
from segmix_core.slides.open_slide import open_slide

HUGE = 2**32 - 1


def header(path):
    """Open a file, read its pixels and close it."""
    slide = open_slide(path)
    assert slide.read_level(0, Box(0, 0, 5, 5)).shape == (5, 5, 3)
    slide.close()
    return slide


def check_unknown(path, words):
    slide = header(path)
    assert slide.mpp_yx is None
    assert slide.mpp is None
    assert any("unknown" in note and words in note for note in slide.notes)


@pytest.fixture
def write(tmp_path, rgb):
    def write(name="a.tif", **options):
        path = tmp_path / name
        tifffile.imwrite(path, rgb, photometric="rgb", **options)
        return path

    return write


@pytest.mark.parametrize(
    ("resolution", "unit", "expected"),
    [
        ((20000, 20000), "CENTIMETER", (0.5, 0.5)),
        ((101600, 101600), "INCH", (0.25, 0.25)),
        ((4, 2), "MICROMETER", (0.5, 0.25)),
        ((40000, 20000), "CENTIMETER", (0.5, 0.25)),
        ((20000, 20000), "NONE", None),
    ],
)
def test_from_tags(write, resolution, unit, expected):
    slide = header(write(resolution=resolution, resolutionunit=unit))
    assert slide.mpp_yx == (None if expected is None else pytest.approx(expected))
    assert bool(slide.notes) == (expected == (0.5, 0.25))


@pytest.mark.parametrize(
    ("resolution", "unit", "words"),
    [
        ((72, 72), "INCH", "353 x 353 µm"),
        ((HUGE, HUGE), "CENTIMETER", "not plausible"),
        ((40000, 1), "CENTIMETER", "not plausible"),
    ],
)
def test_absurd_tags(write, resolution, unit, words):
    check_unknown(write(resolution=resolution, resolutionunit=unit), words)


@pytest.mark.parametrize("rational", [(0, 0), (0, 1), (1, 0), (HUGE, 0), (1, HUGE)])
def test_rationals_that_are_no_resolution(write, rational):
    path = write(resolution=(40000, 40000), resolutionunit="CENTIMETER")
    data = path.read_bytes()
    stated = struct.pack("<II", 40000, 1)
    assert data.count(stated) == 2
    path.write_bytes(data.replace(stated, struct.pack("<II", *rational)))
    check_unknown(path, "unknown")


@pytest.mark.parametrize("unit", [0, 9, 65535])
def test_a_resolution_unit_that_does_not_exist(write, unit):
    path = write(resolution=(40000, 40000), resolutionunit="CENTIMETER")
    entry = struct.pack("<HHI", 296, 3, 1)
    data = path.read_bytes()
    stated = entry + struct.pack("<H", 3)
    path.write_bytes(data.replace(stated, entry + struct.pack("<H", unit)))
    check_unknown(path, f"unit is {unit}")


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [
        (0.5, "µm", 0.5),
        (250, "nm", 0.25),
        (0.001, "mm", 1.0),
        (0.5, None, 0.5),
        (2500, "Å", 0.25),
    ],
)
def test_from_ome(write, size, unit, expected):
    metadata = {"PhysicalSizeX": size, "PhysicalSizeY": size}
    if unit:
        metadata |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    slide = header(write("a.ome.tif", metadata=metadata))
    assert slide.mpp == pytest.approx(expected)
    assert slide.notes == ()


@pytest.mark.parametrize(
    ("y", "x", "unit"),
    [
        ("0.5", "0.5", "pixel"),
        ("0.5", "0.5", "furlong"),
        ("nan", "0.5", "µm"),
        ("inf", "inf", "µm"),
        ("1e400", "1e400", "µm"),
        ("0", "0", "µm"),
        ("-0.25", "0.25", "µm"),
        ("0,25", "0,25", "µm"),
        ("", "", "µm"),
        (None, "0.5", "µm"),
        ("0.25", "0.25", "mm"),
    ],
)
def test_broken_ome_sizes_are_not_replaced_by_tags(tmp_path, rgb, y, x, unit):
    path = tmp_path / "a.ome.tif"
    sizes = " ".join(
        f'PhysicalSize{axis}="{value}" PhysicalSize{axis}Unit="{unit}"'
        for axis, value in (("Y", y), ("X", x))
        if value is not None
    )
    write_ome(path, [(rgb, sizes)], resolution=(40000, 40000), resolutionunit=3)
    check_unknown(path, "")


def ome_xml(images):
    described = "".join(
        f'<Image ID="Image:{index}" Name="{index}"><Pixels ID="Pixels:{index}" '
        f'DimensionOrder="XYCZT" Type="uint8" SizeX="{image.shape[1]}" '
        f'SizeY="{image.shape[0]}" SizeC="3" SizeZ="1" SizeT="1" {sizes}>'
        f'<Channel ID="Channel:{index}:0" SamplesPerPixel="3"/>'
        f'<TiffData IFD="{index}" PlaneCount="1"/></Pixels></Image>'
        for index, (image, sizes) in enumerate(images)
    )
    namespace = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    return f'<?xml version="1.0"?><OME xmlns="{namespace}">{described}</OME>'


def write_ome(path, images, text=None, **options):
    text = ome_xml(images) if text is None else text
    with tifffile.TiffWriter(path, ome=False) as tiff:
        for index, (image, _) in enumerate(images):
            tiff.write(
                image,
                photometric="rgb",
                metadata=None,
                description=text.encode() if index == 0 else None,
                **options,
            )


def size_of(value):
    return f'PhysicalSizeX="{value}" PhysicalSizeY="{value}"'


@pytest.mark.parametrize("main", [0, 1, 2])
def test_of_several_ome_images_the_one_that_is_read_counts(tmp_path, rgb, main):
    path = tmp_path / "a.ome.tif"
    images = [(rgb[:50, :70], size_of(16)), (rgb[:40, :30], size_of(8))]
    images.insert(main, (rgb, size_of(0.25)))
    write_ome(path, images)
    slide = open_slide(path)
    assert slide.mpp_yx == (0.25, 0.25)
    np.testing.assert_array_equal(slide.read_level(0, Box(0, 0, 300, 420)), rgb)
    assert "2 other images" in slide.notes[0]
    slide.close()


@pytest.mark.parametrize("sizes", [(0.25, 0.5), (0.5, 0.25)])
def test_of_ome_images_of_one_size_the_first_counts(tmp_path, rgb, sizes):
    path = tmp_path / "a.ome.tif"
    write_ome(path, [(rgb, size_of(sizes[0])), (255 - rgb, size_of(sizes[1]))])
    slide = open_slide(path)
    assert slide.mpp == sizes[0]
    np.testing.assert_array_equal(slide.read_level(0, Box(0, 0, 9, 9)), rgb[:9, :9])
    assert "another image" in slide.notes[0]
    slide.close()


def test_ome_that_describes_only_the_macro_does_not_hide_the_slide(tmp_path, rgb):
    path = tmp_path / "a.ome.tif"
    small = rgb[:50, :70]
    text = ome_xml([(small, size_of(16))])
    write_ome(path, [(small, ""), (rgb, "")], text)
    slide = open_slide(path)
    assert slide.level_shapes[0] == (300, 420)
    assert slide.mpp is None
    assert any("does not describe" in note for note in slide.notes)
    slide.close()


@pytest.mark.parametrize(
    "damage",
    [
        ("</Pixels>", "</Pixel>"),
        ('SizeX="420"', 'SizeX="many"'),
        ('SizeX="420"', 'SizeX="999999999"'),
        ('SizeX="420"', ""),
        ('DimensionOrder="XYCZT"', ""),
        ('IFD="0"', 'IFD="none"'),
        ('IFD="0"', 'IFD="7"'),
        ('SizeC="3"', 'SizeC="0"'),
        ('SamplesPerPixel="3"', 'SamplesPerPixel="x"'),
        ("<Image ", "<!DOCTYPE x><Image "),
    ],
)
def test_damaged_ome_is_no_damaged_image(tmp_path, rgb, damage):
    path = tmp_path / "a.ome.tif"
    text = ome_xml([(rgb, size_of(0.25))])
    assert damage[0] in text
    tags = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}
    write_ome(path, [(rgb, "")], text.replace(*damage), **tags)
    slide = open_slide(path)
    np.testing.assert_array_equal(slide.read_level(0, Box(0, 0, 300, 420)), rgb)
    # Never the size of the tags, which are 0.5.
    assert slide.mpp == 0.25 or (slide.mpp is None and "unknown" in slide.notes[0])
    slide.close()


def test_from_imagej_and_aperio(tmp_path, rgb):
    path = tmp_path / "a.tif"
    for unit, expected in (("micron", 0.25), ("um", 0.25), ("pixel", None)):
        metadata = {"unit": unit}
        tifffile.imwrite(path, rgb, imagej=True, resolution=(4, 4), metadata=metadata)
        assert header(path).mpp == expected
        assert header(path).notes == ()
    text = "Aperio Image Library v11 \r\n|AppMag = 40|MPP = {}"
    for mpp, expected in (("0.2500", 0.25), ("0.2.5", None), ("350", None)):
        tifffile.imwrite(
            path, rgb, photometric="rgb", description=text.format(mpp), metadata=None
        )
        slide = header(path)
        assert slide.mpp == expected
        assert bool(slide.notes) == (expected is None)


def test_a_unit_of_imagej_that_is_none(tmp_path, rgb):
    path = tmp_path / "a.tif"
    metadata = {"unit": "furlong"}
    tifffile.imwrite(path, rgb, imagej=True, resolution=(4, 4), metadata=metadata)
    check_unknown(path, "furlong")


@pytest.mark.parametrize(
    ("mpp", "words"), [("nan", "not plausible"), ("350", "350"), ("x", "x")]
)
def test_a_broken_size_of_a_scanner(write_aperio, mpp, words):
    check_unknown(write_aperio(text=f"|AppMag = 40|MPP = {mpp}"), words)
