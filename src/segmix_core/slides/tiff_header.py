"""What the header of a TIFF says: levels, pixel size, and whether we can read it."""

import re
from math import ceil
from pathlib import Path
from xml.etree import ElementTree

import tifffile

from segmix_core.errors import SlideError
from segmix_core.slides.pixels import MAX_FLAT_PIXELS, sane_mpp

_MICROMETRES = {
    "nm": 1e-3, "nanometer": 1e-3,
    "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "\\u00B5m": 1.0,
    "mm": 1e3, "millimeter": 1e3,
    "cm": 1e4, "centimeter": 1e4,
    "inch": 25400.0, "in": 25400.0,
    "m": 1e6, "Å": 1e-4,
}  # fmt: skip
_COLORS = (
    tifffile.PHOTOMETRIC.MINISWHITE,
    tifffile.PHOTOMETRIC.MINISBLACK,
    tifffile.PHOTOMETRIC.RGB,
    tifffile.PHOTOMETRIC.PALETTE,
    tifffile.PHOTOMETRIC.YCBCR,
)
_MAX_PART_PIXELS = MAX_FLAT_PIXELS
_DEPTH_REMEDY = (
    "Convert it to 8-bit RGB, for example in QuPath: File > Export images > OME TIFF."
)


def find_levels(path: Path, tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """Return the pages of the largest picture, level 0 first.

    Raises
    ------
    SlideError
        If the file holds a stack of several planes.
    """
    if not tiff.series:
        raise SlideError.unexpected(
            "a TIFF with an image",
            f"no image in {path.name}",
            "The file is empty or cut off: copy it again from its origin.",
        )
    main = max(
        tiff.series, key=lambda s: s.keyframe.imagelength * s.keyframe.imagewidth
    )
    count = len(main.pages)
    if count > 1 or main.keyframe.imagedepth > 1 or _hidden_planes(main) > 1:
        raise SlideError.unexpected(
            "one picture, with or without smaller levels",
            f"a stack of {max(count, _hidden_planes(main))} planes in {path.name}",
            "Save the plane to label as a file of its own, as 8-bit RGB.",
        )
    return [level.keyframe for level in main.levels]


def _hidden_planes(series: tifffile.TiffPageSeries) -> int:
    # tifffile's own files may hold a stack behind a single directory.
    page = series.keyframe
    size = 1
    for length in series.shape:
        size *= length
    return int(
        size // max(1, page.imagelength * page.imagewidth * page.samplesperpixel)
    )


def check_levels(path: Path, levels: list[tifffile.TiffPage]) -> None:
    """Refuse pixels that cannot be shown as 8-bit RGB, and files that are cut off.

    Raises
    ------
    SlideError
        With what to do about it.
    """
    page = levels[0]
    _check_pixels(path, page)
    pixels = page.imagelength * page.imagewidth
    if len(levels) == 1 and pixels > MAX_FLAT_PIXELS:
        raise SlideError.unexpected(
            f"at most {MAX_FLAT_PIXELS:,} pixels in an image without smaller levels",
            f"{pixels:,} in {path.name}",
            "Save it as a pyramidal TIFF (QuPath, or vips tiffsave --pyramid --tile).",
        )
    for level in levels:
        _check_parts(path, level)
    size = path.stat().st_size
    end = max(
        (o + n for level in levels
         for o, n in zip(level.dataoffsets, level.databytecounts, strict=True)),
        default=0,
    )  # fmt: skip
    if end > size:
        raise SlideError.unexpected(
            f"{end:,} bytes in {path.name}, as its header says",
            f"{size:,} bytes",
            "The file is cut off: copy it again from its origin.",
        )


def _check_pixels(path: Path, page: tifffile.TiffPage) -> None:
    if page.imagelength == 0 or page.imagewidth == 0:
        raise SlideError.unexpected(
            "an image of at least one pixel",
            f"{page.imagelength} x {page.imagewidth} pixels in {path.name}",
            "Export the image again from its origin.",
        )
    if page.dtype is None or page.dtype.name != "uint8" or page.bitspersample != 8:
        kind = "unknown" if page.dtype is None else page.dtype.name
        got = f"{page.bitspersample}-bit {kind} pixels in {path.name}"
        raise SlideError.unexpected("8-bit RGB or grayscale pixels", got, _DEPTH_REMEDY)
    wanted = (3, 4) if page.photometric in (2, 6) else (1, 2)
    if page.photometric in _COLORS and page.samplesperpixel in wanted:
        return
    color = getattr(page.photometric, "name", str(page.photometric))
    got = f"{page.samplesperpixel} channel(s) of kind {color} in {path.name}"
    raise SlideError.unexpected("8-bit RGB or grayscale pixels", got, _DEPTH_REMEDY)


def segment_shape(page: tifffile.TiffPage) -> tuple[int, int]:
    """Return height and width of the tiles or strips of a page, in pixels."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _check_parts(path: Path, page: tifffile.TiffPage) -> None:
    rows, cols = segment_shape(page)
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    if 0 < rows * cols <= _MAX_PART_PIXELS:
        down, across = ceil(page.imagelength / rows), ceil(page.imagewidth / cols)
        if len(page.dataoffsets) == planes * down * across:
            return
    raise SlideError.unexpected(
        f"an image of {page.imagelength} x {page.imagewidth} pixels in {path.name}",
        f"{len(page.dataoffsets)} parts of {rows} x {cols}",
        "The file is damaged: copy it again from its origin.",
    )


def find_mpp(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> float | None:
    """Return µm per pixel from OME-XML, Aperio's text, ImageJ's text or the tags.

    None where the file does not say or what it says is no microscope's pixel size.
    """
    if tiff.is_ome and tiff.ome_metadata:
        found = _ome_mpp(tiff.ome_metadata)
        if found is not None:
            return found
    aperio = re.search(r"\bMPP\s*=\s*([0-9.]+)", page.description or "")
    if aperio and tiff.is_svs:
        return sane_mpp((float(aperio[1]), float(aperio[1])))
    return _tag_mpp(tiff, page)


def _ome_mpp(text: str) -> float | None:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None
    for pixels in root.iter():
        if not pixels.tag.endswith("}Pixels"):
            continue
        sizes = [
            float(pixels.get(f"PhysicalSize{axis}", "0"))
            * _MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"), 0.0)
            for axis in "YX"
        ]
        return sane_mpp((sizes[0], sizes[1]))
    return None


def _tag_mpp(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> float | None:
    unit = {2: 25400.0, 3: 10000.0}.get(int(page.resolutionunit or 1), 0.0)
    if tiff.is_imagej and tiff.imagej_metadata:
        unit = _MICROMETRES.get(str(tiff.imagej_metadata.get("unit", "")), unit)
    x, y = page.resolution
    if not unit or not x or not y:
        return None
    return sane_mpp((unit / y, unit / x))
