"""Mutated files are read, or refused in a sentence; nothing else leaves the readers."""

import io
import random
import struct
import warnings

import numpy as np
import pytest
import tifffile
from PIL import Image

from segmix_core.errors import SlideError
from segmix_core.geometry import Box
from segmix_core.slides.open_slide import open_slide

MUTATIONS = 25
SHORTS = (0, 1, 2, 3, 4, 6, 8, 16, 255, 38_000, 65_535)
NUMBERS = (0, 1, 2, 255, 38_000, 65_536, 2**24, 2**31 - 1, 2**32 - 1)
TIFF_TAGS = (254, 256, 257, 258, 259, 262, 274, 277, 278, 282, 284, 296, 317, 320, 338)


def tiff(image, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, image, **{"photometric": "rgb", **options})
    return file.getvalue()


def pyramid(image):
    file = io.BytesIO()
    metadata = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    options = {"photometric": "rgb", "tile": (32, 32), "compression": "deflate"}
    with tifffile.TiffWriter(file, ome=True) as writer:
        writer.write(image, subifds=1, metadata=metadata, **options)
        writer.write(image[::2, ::2], subfiletype=1, metadata=None, **options)
        writer.write(image[:30, :20], photometric="rgb", metadata={"Name": "macro"})
    return file.getvalue()


def plain(image, kind, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def seeds():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[274] = 6
    colors = rng.integers(0, 65_536, (3, 256)).astype(np.uint16)
    palette = {"photometric": "palette", "colormap": colors}
    return {
        "plain.tif": tiff(image),
        "lzw.tif": tiff(image, compression="lzw", predictor=True),
        "jpeg.tif": tiff(image, compression="jpeg", tile=(32, 32)),
        "jpeg2000.tif": tiff(image, compression="jpeg2000", tile=(32, 32)),
        "palette.tif": tiff(image[..., 0], **palette),
        "big.tif": tiff(image, bigtiff=True),
        "pyramid.ome.tif": pyramid(image),
        "a.png": plain(image, "PNG", exif=exif),
        "clear.png": plain(image[..., 0], "PNG", transparency=3),
        "a.jpg": plain(image, "JPEG", exif=exif),
        "a.gif": plain(image, "GIF"),
        "a.jp2": plain(image, "JPEG2000"),
        "a.bmp": plain(image, "BMP"),
        "a.webp": plain(image, "WEBP", exif=exif),
    }


SEEDS = seeds()


def mutate(data, rng):
    """Return a copy with a few numbers overwritten, perhaps cut."""
    mutated = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        reach = rng.choice((64, 400, len(data)))
        place = rng.randrange(4, min(reach, len(data)) - 4)
        order = rng.choice("<>")
        if rng.random() < 0.5:
            struct.pack_into(f"{order}H", mutated, place, rng.choice(SHORTS))
        else:
            struct.pack_into(f"{order}I", mutated, place, rng.choice(NUMBERS))
    if rng.random() < 0.2:
        del mutated[rng.randrange(8, len(data)) :]
    return bytes(mutated)


def mutate_tags(data, rng):
    """Return a little-endian TIFF with entries of its first directory overwritten."""
    mutated = bytearray(data)
    (start,) = struct.unpack_from("<I", mutated, 4)
    (count,) = struct.unpack_from("<H", mutated, start)
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = start + 2 + 12 * rng.randrange(count)
        field = rng.choice(("tag", "type", "count", "value", "value"))
        if field == "tag":
            struct.pack_into("<H", mutated, place, rng.choice(TIFF_TAGS))
        elif field == "type":
            struct.pack_into("<H", mutated, place + 2, rng.randrange(19))
        else:
            offset = {"count": 4, "value": 8}[field]
            struct.pack_into("<I", mutated, place + offset, rng.choice(NUMBERS))
    return bytes(mutated)


def look(path):
    """Open a file, read the corners of all levels; return what was refused."""
    try:
        slide = open_slide(path)
    except SlideError as error:
        return str(error)
    try:
        for level, (height, width) in enumerate(slide.level_shapes):
            for y, x in ((0, 0), (height - 20, width - 20)):
                pixels = slide.read_level(level, Box(y, x, 30, 30))
                assert (pixels.shape, pixels.dtype) == ((30, 30, 3), np.uint8)
    except SlideError as error:
        return str(error)
    finally:
        slide.close()
    return ""


@pytest.mark.parametrize("name", SEEDS)
@pytest.mark.parametrize("mutation", [mutate, mutate_tags])
def test_nothing_but_a_sentence_leaves_a_mutated_file(tmp_path, name, mutation):
    data = SEEDS[name]
    if mutation is mutate_tags and data[:4] != b"II*\0":
        mutation = mutate
    rng = random.Random(f"{name} {mutation.__name__}")
    path = tmp_path / name
    with warnings.catch_warnings():
        # Libraries warn of what they read around.
        warnings.simplefilter("ignore")
        for _ in range(MUTATIONS):
            path.write_bytes(mutation(data, rng))
            assert len(look(path)) < 600
