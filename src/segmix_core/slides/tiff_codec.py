"""Check that the compression of a TIFF can be decoded."""

from pathlib import Path

import imagecodecs
import tifffile

from segmix_core.errors import SlideError
from segmix_core.slides.stated_size import read_jpeg2000_size, read_jpeg_size

_NAMES = {
    2: "CCITT run lengths", 3: "CCITT fax 3", 4: "CCITT fax 4", 6: "old-style JPEG",
    7: "JPEG", 33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000",
    34887: "LERC", 34892: "lossy JPEG of DNG", 50001: "WebP", 50002: "JPEG XL",
    52546: "JPEG XL",
}  # fmt: skip
_OLD_JPEG = 6
_SIZES = {
    **dict.fromkeys((7, 33007, 34892), read_jpeg_size),
    **dict.fromkeys((33003, 33004, 33005, 34712), read_jpeg2000_size),
}
_SMALL_PIXELS = 1 << 22
"""A tile may always state this many pixels, whatever its size in the directory."""
_TO_RGB = frozenset({7, 34892, 33007, 50001, 34927, 50002, 52546})
"""Compressions whose decoders turn YCbCr into RGB themselves."""
_REMEDY = "Save it again as PNG, or as a TIFF with LZW or deflate compression."


def check_codec(path: Path, page: tifffile.TiffPage) -> None:
    """Check that tifffile and imagecodecs can decode a page.

    Raises
    ------
    SlideError
        With the name of the compression.
    """
    code = int(page.compression)
    name = _name_of(code)
    if code == _OLD_JPEG or code not in tifffile.TIFF.DECOMPRESSORS:
        raise SlideError(
            f"{path.name} is compressed with {name}, which SegMix cannot read.", _REMEDY
        )
    codec = _codec_of(code)
    if not getattr(getattr(imagecodecs, codec.upper(), None), "available", True):
        raise SlideError(
            f"{path.name} is compressed with {name}, but the installed imagecodecs "
            f"has no codec {codec}.",
            f"Install imagecodecs with {codec}, or save the file as PNG.",
        )
    if page.photometric == tifffile.PHOTOMETRIC.YCBCR and code not in _TO_RGB:
        raise SlideError(
            f"{path.name} stores YCbCr colors with {name} compression, which SegMix "
            "cannot read.",
            _REMEDY,
        )
    _check_predictor(path, page, code)


def check_stated_size(page: tifffile.TiffPage, data: bytes, part_pixels: int) -> None:
    """Check that a tile or strip does not state a much larger size than it has.

    Raises
    ------
    ValueError
        If it does; raised before the decoder allocates the memory.
    """
    read = _SIZES.get(int(page.compression))
    stated = None if read is None else read(data)
    if stated is None:
        return
    pixels = stated.height * stated.width
    if pixels > max(2 * part_pixels, _SMALL_PIXELS):
        raise ValueError(
            f"it claims {stated.height:,} x {stated.width:,} pixels instead of "
            f"{part_pixels:,}"
        )


def _check_predictor(path: Path, page: tifffile.TiffPage, code: int) -> None:
    is_image = code in tifffile.TIFF.IMAGE_COMPRESSIONS
    if page.predictor == 1 or is_image or page.predictor in tifffile.TIFF.UNPREDICTORS:
        return
    raise SlideError(
        f"{path.name} is compressed with the predictor {int(page.predictor)}, which "
        "SegMix cannot read.",
        _REMEDY,
    )


def _name_of(code: int) -> str:
    if code in _NAMES:
        return _NAMES[code]
    try:
        return str(tifffile.COMPRESSION(code).name)
    except ValueError:
        return f"the unknown compression {code}"


def _codec_of(code: int) -> str:
    """Return the name of imagecodecs' codec, such as jpeg2k."""
    decode = tifffile.TIFF.DECOMPRESSORS[code]
    return str(getattr(decode, "__name__", "")).removesuffix("_decode")
