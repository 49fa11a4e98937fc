import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from segmix_core.geometry import Box
from segmix_core.slides.open_slide import open_slide
from segmix_core.slides.orientation import show_upright

ORIENTATIONS = range(1, 9)


def tag(value):
    return [(274, 3, 1, value, True)]


def upright(pixels, value):
    """Return the pixels as Pillow shows them."""
    image = Image.fromarray(pixels)
    image.getexif()[274] = value
    return np.asarray(ImageOps.exif_transpose(image))


def check_parts(slide, level, expected):
    """Compare a level, and boxes inside of it and over its edges."""
    height, width = slide.level_shapes[level]
    whole = slide.read_level(level, Box(0, 0, height, width))
    np.testing.assert_array_equal(whole, expected)
    padded = np.pad(whole, ((20, 20), (20, 20), (0, 0)), constant_values=255)
    for box in (
        Box(3, 5, 17, 9),
        Box(-4, 2, 9, 30),
        Box(height - 6, width - 8, 20, 20),
    ):
        np.testing.assert_array_equal(
            slide.read_level(level, box), padded[box.moved(20, 20).slices]
        )


@pytest.mark.parametrize("value", ORIENTATIONS)
@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_exif_of_images(tmp_path, rgb, suffix, value):
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[274] = value
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(rgb).save(path, exif=exif, **options)
    slide = open_slide(path)
    check_parts(slide, 0, upright(rgb, value))
    slide.close()


@pytest.mark.parametrize("value", ORIENTATIONS)
@pytest.mark.parametrize("options", [{}, {"tile": (64, 32), "compression": "deflate"}])
def test_the_tag_of_tiff(tmp_path, rgb, options, value):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        rgb,
        photometric="rgb",
        extratags=tag(value),
        resolution=(40000, 20000),
        resolutionunit="CENTIMETER",
        **options,
    )
    slide = open_slide(path)
    check_parts(slide, 0, upright(rgb, value))
    assert slide.mpp_yx == ((0.25, 0.5) if value >= 5 else (0.5, 0.25))
    slide.close()


@pytest.mark.parametrize("value", ORIENTATIONS)
def test_all_levels_are_turned(write_pyramid, rgb, value):
    slide = open_slide(write_pyramid(extratags=tag(value)))
    assert len(slide.level_shapes) == 3
    assert slide.notes == ()
    for level, step in enumerate((1, 2, 4)):
        check_parts(slide, level, upright(rgb[::step, ::step], value))
    slide.close()


def write_levels(path, rgb, *orientations):
    with tifffile.TiffWriter(path) as tiff:
        for place, value in enumerate(orientations):
            step = 2**place
            tiff.write(
                rgb[::step, ::step],
                photometric="rgb",
                tile=(64, 64),
                subfiletype=int(place > 0),
                metadata=None,
                extratags=() if value is None else tag(value),
            )


def test_levels_without_a_tag_follow_the_largest_and_that_is_said(tmp_path, rgb):
    path = tmp_path / "a.tif"
    write_levels(path, rgb, 3, None)
    slide = open_slide(path)
    check_parts(slide, 1, upright(rgb[::2, ::2], 3))
    assert "applied to all" in slide.notes[0]
    slide.close()


def test_levels_of_another_orientation_are_left_out_and_that_is_said(tmp_path, rgb):
    path = tmp_path / "a.tif"
    write_levels(path, rgb, 3, 1)
    slide = open_slide(path)
    assert slide.level_shapes == ((300, 420),)
    assert "do not match the largest one were skipped (1)" in slide.notes[0]
    slide.close()


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_undefined_values_count_as_upright(tmp_path, rgb, value):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", extratags=tag(value))
    slide = open_slide(path)
    check_parts(slide, 0, rgb)
    slide.close()


def test_an_orientation_behind_the_pixels_of_a_png(tmp_path, rgb):
    path = tmp_path / "a.png"
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(rgb).save(path, exif=exif)
    data = path.read_bytes()
    start = data.index(b"eXIf") - 4
    length = 12 + int.from_bytes(data[start : start + 4], "big")
    chunk, rest = data[start : start + length], data[:start] + data[start + length :]
    path.write_bytes(rest[:-12] + chunk + rest[-12:])
    slide = open_slide(path)
    check_parts(slide, 0, upright(rgb, 6))
    slide.close()


def test_damaged_exif_is_no_damaged_image(tmp_path, rgb):
    path = tmp_path / "a.png"
    Image.fromarray(rgb).save(path, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    slide = open_slide(path)
    check_parts(slide, 0, rgb)
    slide.close()


class Framed:
    """A slide with bounds."""

    path = None
    level_shapes = ((30, 50),)
    mpp_yx = (0.5, 0.25)
    mpp = 0.35
    bounds = Box(2, 7, 10, 20)
    identity = "same"
    size_notes = ()
    notes = ()

    def __init__(self, pixels):
        self.pixels = pixels

    def read_level(self, _, box):
        return self.pixels[box.slices]

    def close(self):
        self.pixels = None


@pytest.mark.parametrize("value", ORIENTATIONS)
def test_bounds_turn_with_the_pixels(rgb, value):
    pixels = rgb[:30, :50]
    stored = Framed(pixels)
    slide = show_upright(stored, value)
    np.testing.assert_array_equal(
        slide.read_level(0, slide.bounds), upright(pixels[stored.bounds.slices], value)
    )
    assert slide.identity == "same"


def test_a_scanner_file_with_an_orientation_says_that_it_is_not_followed(write_aperio):
    path = write_aperio(extratags=tag(6))
    slide = open_slide(path)
    assert "orientation tag (6) is ignored" in slide.notes[0]
    slide.close()
