"""Read the pixel size of a TIFF."""

import re

import tifffile

from segmix_core.slides.ome_xml import MICROMETERS
from segmix_core.slides.pixel_size import (
    UNSTATED,
    PixelSize,
    broken_pixel_size,
    check_pixel_size,
)

_TAG_UNITS = {2: 25400.0, 3: 10000.0, 4: 1000.0, 5: 1.0}
"""ResolutionUnit in µm: inch, centimeter; tifffile adds millimeter, micrometer."""
_NO_UNIT, _INCH = 1, 2
_UNIT, _X, _Y = 296, 282, 283


def find_pixel_size(
    tiff: tifffile.TiffFile, page: tifffile.TiffPage, ome_size: PixelSize
) -> PixelSize:
    """Return the pixel size of a page from the most specific place that states it.

    The order is OME-XML, Aperio's text, ImageJ's text, the resolution tags. If the
    first one found is invalid, the size is unknown; the others are not used instead.
    """
    if ome_size != UNSTATED:
        return ome_size
    aperio = re.search(r"\bMPP\s*=([^|]*)", page.description or "")
    if aperio and tiff.is_svs:
        return _aperio_size(aperio[1].strip())
    return _tag_size(tiff, page)


def _aperio_size(text: str) -> PixelSize:
    try:
        return check_pixel_size(float(text), float(text))
    except ValueError:
        return broken_pixel_size(f"Its MPP is given as {text:.40}")


def _tag_size(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> PixelSize:
    if _X not in page.tags and _Y not in page.tags:
        return UNSTATED
    code = page.tags.valueof(_UNIT, default=_INCH)
    unit = _TAG_UNITS.get(code) if isinstance(code, int) else None
    named = _imagej_unit(tiff)
    if named:
        unit = MICROMETERS.get(named)
        if unit is None and named != "pixel":
            return broken_pixel_size(f"Its unit of length is {named:.40}")
    elif unit is None and code != _NO_UNIT:
        return broken_pixel_size(f"Its resolution unit is {code!r:.40}")
    if unit is None:
        return UNSTATED
    try:
        return check_pixel_size(unit / _per_unit(page, _Y), unit / _per_unit(page, _X))
    except (TypeError, ValueError, ArithmeticError):
        shown = [page.tags.valueof(code) for code in (_X, _Y)]
        return broken_pixel_size(f"Its resolution tags are {shown!r:.80}")


def _imagej_unit(tiff: tifffile.TiffFile) -> str:
    if not (tiff.is_imagej and tiff.imagej_metadata):
        return ""
    return str(tiff.imagej_metadata.get("unit", ""))


def _per_unit(page: tifffile.TiffPage, code: int) -> float:
    value = page.tags.valueof(code)
    if isinstance(value, tuple):
        numerator, denominator = value
        return float(numerator) / float(denominator)
    return float(value)
