"""OME-TIFF whose red, green and blue are pages of their own, and other channels."""

import re

import numpy as np
import pytest
import tifffile

from segmix_core.errors import SlideError
from segmix_core.geometry import Box
from segmix_core.slides.open_slide import open_slide

RED, GREEN, BLUE = 0xFF0000FF - 2**32, 0x00FF00FF, 0x0000FFFF


def planes(rgb, order=(0, 1, 2)):
    return np.ascontiguousarray(np.moveaxis(rgb[..., order], 2, 0))


def write(path, stack, channel=None, **options):
    metadata = {"axes": "CYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    if channel is not None:
        metadata["Channel"] = channel
    tifffile.imwrite(
        path, stack, photometric="minisblack", ome=True, metadata=metadata, **options
    )
    return path


@pytest.mark.parametrize(
    ("channel", "order"),
    [
        (None, (0, 1, 2)),
        ({"Name": ["Red", "Green", "Blue"]}, (0, 1, 2)),
        ({"Name": ["r", "g", "b"]}, (0, 1, 2)),
        ({"Name": ["Blue", "Green", "Red"]}, (2, 1, 0)),
        ({"Color": [RED, GREEN, BLUE]}, (0, 1, 2)),
        ({"Color": [GREEN, RED, BLUE]}, (1, 0, 2)),
    ],
)
@pytest.mark.parametrize("options", [{}, {"tile": (64, 64), "compression": "deflate"}])
def test_three_planes_are_read_as_rgb(tmp_path, rgb, channel, order, options):
    path = write(tmp_path / "a.ome.tif", planes(rgb, order), channel, **options)
    slide = open_slide(path)
    np.testing.assert_array_equal(slide.read_level(0, Box(0, 0, 300, 420)), rgb)
    np.testing.assert_array_equal(
        slide.read_level(0, Box(33, 50, 90, 70)), rgb[33:123, 50:120]
    )
    assert slide.mpp == 0.25
    assert slide.notes == ("Its three planes were read as red, green and blue.",)
    slide.close()


def test_planes_have_levels_and_an_orientation(tmp_path, rgb):
    path = tmp_path / "a.ome.tif"
    options = {
        "photometric": "minisblack",
        "tile": (64, 64),
        "extratags": [(274, 3, 1, 3, True)],
    }
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(planes(rgb), subifds=1, metadata={"axes": "CYX"}, **options)
        tiff.write(planes(rgb[::2, ::2]), subfiletype=1, metadata=None, **options)
    slide = open_slide(path)
    assert slide.level_shapes == ((300, 420), (150, 210))
    for level, step in enumerate((1, 2)):
        expected = rgb[::step, ::step][::-1, ::-1]
        box = Box(0, 0, *slide.level_shapes[level])
        np.testing.assert_array_equal(slide.read_level(level, box), expected)
    slide.close()


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        (
            {"Name": ["DAPI", "CD3", "CD8"]},
            r"3 channels \(DAPI, CD3, CD8\) instead of red",
        ),
        ({"Name": ["Red", "Red", "Blue"]}, "3 channels"),
        ({"Name": ["Red", "Green", ""]}, "3 channels"),
        ({"Color": [RED, GREEN, 0x00FFFFFF]}, "3 channels"),
    ],
)
def test_other_channels_are_refused_with_how_to_write_rgb(
    tmp_path, rgb, channel, message
):
    path = write(tmp_path / "a.ome.tif", planes(rgb), channel)
    with pytest.raises(SlideError, match=message) as caught:
        open_slide(path)
    assert "raw2ometiff --rgb" in caught.value.hint


@pytest.mark.parametrize("count", [2, 4])
def test_another_number_of_channels_is_refused(tmp_path, rgb, count):
    stack = planes(rgb, [0, 1, 2, 0][:count])
    with pytest.raises(SlideError, match=f"{count} channels"):
        open_slide(write(tmp_path / "a.ome.tif", stack))


def test_deep_planes_are_refused(tmp_path, rgb):
    path = write(tmp_path / "a.ome.tif", planes(rgb).astype(np.uint16))
    with pytest.raises(SlideError, match="3 channels of uint16"):
        open_slide(path)


def test_three_pages_without_ome_are_a_stack(tmp_path, rgb):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, planes(rgb), photometric="minisblack", metadata=None)
    with pytest.raises(SlideError, match="a stack of 3 planes") as caught:
        open_slide(path)
    assert "Image > Color > Stack to RGB" in caught.value.hint


@pytest.mark.parametrize("mode", ["composite", "color"])
def test_channels_of_imagej_are_refused_with_how_to_make_rgb(tmp_path, rgb, mode):
    path = tmp_path / "a.tif"
    metadata = {"axes": "CYX", "mode": mode}
    tifffile.imwrite(path, planes(rgb), imagej=True, metadata=metadata)
    with pytest.raises(SlideError, match="contains 3 channels") as caught:
        open_slide(path)
    assert "Image > Type > RGB Color" in caught.value.hint


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_a_stack_in_depth_or_time_is_refused(tmp_path, rgb, axes):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, planes(rgb), imagej=True, metadata={"axes": axes})
    with pytest.raises(SlideError, match="a stack of 3 planes") as caught:
        open_slide(path)
    assert "Save the plane" in caught.value.hint


def test_a_smaller_level_of_other_pixels_is_left_out_and_that_is_said(tmp_path, rgb):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(rgb, photometric="rgb", tile=(64, 64), metadata=None)
        for image in (rgb[::2, ::2], rgb[::8, ::4]):
            tiff.write(
                image,
                photometric="rgb",
                tile=(64, 64),
                subfiletype=1,
                metadata=None,
            )
    with tifffile.TiffFile(path) as tiff:
        grouped = len(tiff.series[0].levels)
    slide = open_slide(path)
    assert slide.level_shapes == ((300, 420), (150, 210))
    assert grouped in (2, 3)
    assert "skipped" in slide.notes[0]
    slide.close()


@pytest.mark.parametrize("exists", [True, False])
def test_one_of_several_files_of_an_image_is_refused(tmp_path, rgb, exists):
    other = write(tmp_path / "b.ome.tif", planes(rgb))
    with tifffile.TiffFile(other) as tiff:
        text = tiff.ome_metadata
    elsewhere = '<UUID FileName="b.ome.tif">urn:uuid:1</UUID>'
    text = re.sub(
        r"<TiffData (.*?)>.*?</TiffData>|<TiffData (.*?)/>",
        rf"<TiffData \1\2>{elsewhere}</TiffData>",
        text,
    )
    assert elsewhere in text
    if not exists:
        other.unlink()
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path,
        planes(rgb),
        photometric="minisblack",
        metadata=None,
        description=text.encode(),
    )
    with pytest.raises(SlideError, match=r"several files|a stack of 3"):
        open_slide(path)
