"""Read the directories of a TIFF: the main image, its levels, other images."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from xml.etree import ElementTree

import tifffile

from segmix_core.errors import SlideError
from segmix_core.slides.level_shapes import (
    check_edges,
    is_smaller_copy,
    unused_levels_note,
)
from segmix_core.slides.ome_xml import OmeImage, find_ome_image
from segmix_core.slides.orientation import UPRIGHT
from segmix_core.slides.pixel_size import UNSTATED, PixelSize, broken_pixel_size
from segmix_core.slides.pixels import (
    COPY_AGAIN,
    MAX_FLAT_PIXELS,
    MAX_PART_PIXELS,
    reading,
    too_large,
)
from segmix_core.slides.tiff_codec import check_codec
from segmix_core.slides.tiff_colors import Samples, find_samples

_ORIENTATION = 274
_METADATA_KINDS = ("shaped", "ome", "imagej", "lsm", "mmstack", "ndtiff", "scn", "svs")
_RGB_REMEDY = (
    "Save it as RGB (raw2ometiff --rgb; QuPath: File > Export images > OME TIFF)."
)


@dataclass(frozen=True, slots=True)
class TiffLevel:
    """One level: a page, or three pages that are red, green and blue."""

    pages: tuple[tifffile.TiffPage, ...]

    @property
    def page(self) -> tifffile.TiffPage:
        """The page with all tags."""
        return self.pages[0].keyframe

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) as stored."""
        return self.page.imagelength, self.page.imagewidth


@dataclass(frozen=True, slots=True)
class TiffPicture:
    """The largest image of a file.

    Attributes
    ----------
    levels
        The largest first.
    samples
        The samples of its pixels.
    ome_size
        The pixel size in OME-XML, if there is one.
    orientation
        Tag 274, 1 to 8.
    notes
        Notes on what is ignored.
    """

    levels: tuple[TiffLevel, ...]
    samples: Samples
    ome_size: PixelSize
    orientation: int
    notes: tuple[str, ...]


def open_tiff(path: Path) -> tifffile.TiffFile:
    """Open a TIFF, ignoring metadata that hides pages.

    The caller handles the errors of tifffile on damaged files.
    """
    tiff = tifffile.TiffFile(path)
    try:
        with reading(path, f"{path.name} is a damaged TIFF"):
            is_whole = bool(tiff.series) and not _hides_pages(tiff)
    except SlideError:
        is_whole = False
    if is_whole:
        return tiff
    tiff.close()
    return _open_plain(path)


def _open_plain(path: Path) -> tifffile.TiffFile:
    # Invalid OME-XML (or text of another program) does not make the image unreadable:
    # the directories say where the pixels are.
    return tifffile.TiffFile(path, **{f"is_{kind}": False for kind in _METADATA_KINDS})


def _hides_pages(tiff: tifffile.TiffFile) -> bool:
    """Return whether OME-XML omits a page larger than all pages it describes."""
    if tiff.series[0].kind != "ome":
        return False
    described = max(_area(series.keyframe) for series in tiff.series)
    return any(_area(page.keyframe) > described for page in tiff.pages)


def find_picture(path: Path, tiff: tifffile.TiffFile) -> TiffPicture:
    """Return the largest image of a file after checking that it can be read.

    Raises
    ------
    SlideError
        If the file holds a stack or channels, pixels that are not 8-bit RGB or
        grayscale, a compression that cannot be read, or is cut off.
    """
    if not tiff.series:
        raise SlideError(f"{path.name} contains no image.", COPY_AGAIN)
    for series in tiff.series:
        for level in series.levels:
            _check_numbers(path, level.keyframe)
    main = max(tiff.series, key=lambda series: _area(series.keyframe))
    ome, size = _find_ome(tiff, main.keyframe)
    levels, notes = _find_levels(path, tiff, main, ome)
    samples = find_samples(path, levels[0].page)
    if len(levels[0].pages) > 1:
        samples = Samples((0, 1, 2))
    levels, level_notes = _usable_levels(levels)
    _check_levels(path, levels)
    notes += samples.notes + level_notes + _other_notes(tiff, main)
    orientation = _orientation_of(levels[0].page)
    return TiffPicture(levels, samples, size, orientation, notes)


@dataclass(frozen=True, slots=True)
class ScanHeader:
    """Facts from the directories of a scanner's TIFF that OpenSlide does not check.

    Attributes
    ----------
    orientation
        Tag 274 of the first image, 1 to 8.
    is_possible
        Whether all tiles and strips are smaller than the file.
    """

    orientation: int = UPRIGHT
    is_possible: bool = True


def read_scan_header(path: Path) -> ScanHeader:
    """Read the directories of a file; the defaults if it is not a TIFF."""
    try:
        with (
            reading(path, f"{path.name} is not a valid TIFF"),
            tifffile.TiffFile(path) as tiff,
        ):
            size = path.stat().st_size
            largest = max(max(page.databytecounts, default=0) for page in tiff.pages)
            return ScanHeader(_orientation_of(tiff.pages.first), largest <= size)
    except SlideError:
        return ScanHeader()


def segment_shape(page: tifffile.TiffPage) -> tuple[int, int]:
    """Return height and width of the tiles or strips of a page, in pixels."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def grid_shape(page: tifffile.TiffPage) -> tuple[int, int]:
    """Return the numbers of rows and columns of tiles or strips."""
    rows, cols = segment_shape(page)
    return ceil(page.imagelength / rows), ceil(page.imagewidth / cols)


def _check_numbers(path: Path, page: tifffile.TiffPage) -> None:
    """Check that the sizes of a page are whole numbers; damaged tags give others."""
    parts = ("tilelength", "tilewidth") if page.is_tiled else ("rowsperstrip",)
    for name in (
        *("imagelength", "imagewidth", "imagedepth", "samplesperpixel"),
        *parts,
    ):
        if not isinstance(getattr(page, name), int):
            raise SlideError(
                f"{path.name} is a damaged TIFF: its {name} is not a number.",
                COPY_AGAIN,
            )


def _area(page: tifffile.TiffPage) -> int:
    return int(page.imagelength * page.imagewidth)


def _orientation_of(page: tifffile.TiffPage) -> int:
    value = page.tags.valueof(_ORIENTATION, default=UPRIGHT)
    return value if isinstance(value, int) and 1 <= value <= 8 else UPRIGHT


def _find_ome(
    tiff: tifffile.TiffFile, page: tifffile.TiffPage
) -> tuple[OmeImage | None, PixelSize]:
    """Return the OME-XML description of a page, and its pixel size."""
    text = tiff.pages.first.description or ""
    if "<OME" not in text:
        return None, UNSTATED
    try:
        image = find_ome_image(text, page.index, (page.imagelength, page.imagewidth))
    except (ElementTree.ParseError, ValueError):
        return None, broken_pixel_size("Its OME-XML is damaged")
    if image is None:
        what = "Its OME-XML does not describe the image that is read"
        return None, broken_pixel_size(what)
    return image, image.pixel_size()


def _find_levels(
    path: Path,
    tiff: tifffile.TiffFile,
    main: tifffile.TiffPageSeries,
    ome: OmeImage | None,
) -> tuple[tuple[TiffLevel, ...], tuple[str, ...]]:
    """Return the levels of a series, and notes on how its planes were read."""
    if any(page is None or page.parent is not tiff for page in main.pages):
        raise SlideError(
            f"{path.name} is only one of several files of an image.",
            "Save the image as a single OME-TIFF (bfconvert, or QuPath's export).",
        )
    count = max(len(main.pages), _hidden_planes(main), main.keyframe.imagedepth)
    if count == 1:
        return tuple(TiffLevel((level.keyframe,)) for level in main.levels), ()
    order = _plane_order(path, main, ome, count)
    levels = [
        TiffLevel(tuple(level.pages[place] for place in order))
        for level in main.levels
        if len(level.pages) == count and all(page is not None for page in level.pages)
    ]
    return tuple(levels), ("Its three planes were read as red, green and blue.",)


def _plane_order(
    path: Path, main: tifffile.TiffPageSeries, ome: OmeImage | None, count: int
) -> tuple[int, ...]:
    """Return which planes are red, green and blue.

    Raises
    ------
    SlideError
        If the planes are a stack, or channels of something else.
    """
    if ome is None or main.axes != "CYX" or len(main.pages) != count:
        raise _stack_error(path, main, count)
    order = ome.rgb_order() if count == 3 else None
    if order is None:
        names = ", ".join(name for name in ome.channel_names if name)
        raise SlideError(
            f"{path.name} contains {count} "
            f"channels{f' ({names:.100})' if names else ''} instead of red, green and "
            "blue.",
            _RGB_REMEDY,
        )
    if main.keyframe.dtype != "uint8":
        raise SlideError(
            f"{path.name} contains {count} channels of {main.keyframe.dtype}; 8-bit "
            "RGB is needed.",
            _RGB_REMEDY,
        )
    return order


def _stack_error(path: Path, main: tifffile.TiffPageSeries, count: int) -> SlideError:
    if main.axes.startswith("C"):
        return SlideError(
            f"{path.name} contains {count} channels, each on a plane of its own.",
            "If they are red, green and blue, make one image of them in Fiji: "
            "Image > Type > RGB Color.",
        )
    hint = "Save the plane to label as a file of its own, as 8-bit RGB."
    is_gray = main.keyframe.samplesperpixel == 1
    if count == 3 and is_gray and not main.axes.startswith(("Z", "T")):
        hint = (
            "If they are the channels red, green and blue, make one image of them in "
            "Fiji: Image > Color > Stack to RGB. If not, save the plane to label as a "
            "file of its own."
        )
    return SlideError(
        f"{path.name} contains a stack of {count} planes instead of one image.", hint
    )


def _hidden_planes(series: tifffile.TiffPageSeries) -> int:
    # Files written by tifffile may have a stack in a single directory.
    page = series.keyframe
    size = 1
    for length in series.shape:
        size *= length
    return int(size // max(1, _area(page) * page.samplesperpixel))


def _usable_levels(
    levels: Sequence[TiffLevel],
) -> tuple[tuple[TiffLevel, ...], tuple[str, ...]]:
    """Return the levels that match level 0, and a note on the others."""
    used = tuple(level for level in levels if _is_smaller(level, levels[0]))
    notes = unused_levels_note(len(levels) - len(used))
    turned = {_orientation_of(level.page) for level in used} != {UPRIGHT}
    if turned and any(_ORIENTATION not in level.page.tags for level in used):
        notes += (
            "The orientation tag of its largest level was applied to all levels.",
        )
    return used, notes


def _is_smaller(level: TiffLevel, largest: TiffLevel) -> bool:
    page, full = level.page, largest.page
    if page is full:
        return True
    alike = all(
        getattr(page, name) == getattr(full, name)
        for name in ("dtype", "bitspersample", "samplesperpixel", "photometric")
    )
    stated = page.tags.valueof(_ORIENTATION)
    if not alike or (
        stated is not None and _orientation_of(page) != _orientation_of(full)
    ):
        return False
    return is_smaller_copy(level.shape, largest.shape)


def _other_notes(
    tiff: tifffile.TiffFile, main: tifffile.TiffPageSeries
) -> tuple[str, ...]:
    others = [series for series in tiff.series if series is not main]
    if not others:
        return ()
    named = [
        f"{series.name or 'unnamed'!s:.40}, {series.keyframe.imagelength} x "
        f"{series.keyframe.imagewidth}"
        for series in others[:3]
    ]
    rest = f"; and {len(others) - 3} more" if len(others) > 3 else ""
    what = "another image" if len(others) == 1 else f"{len(others)} other images"
    verb = "was" if len(others) == 1 else "were"
    return (
        f"The file contains {what}, which {verb} skipped: {'; '.join(named)}{rest}.",
    )


def _check_levels(path: Path, levels: Sequence[TiffLevel]) -> None:
    """Check that the levels can be decoded and the file is complete."""
    check_edges(path, levels[0].shape)
    if len(levels) == 1 and _area(levels[0].page) > MAX_FLAT_PIXELS:
        raise too_large(path, levels[0].shape, MAX_FLAT_PIXELS)
    for level in levels:
        check_codec(path, level.page)
        for page in level.pages:
            _check_parts(path, level.page, len(page.dataoffsets))
    stated = max(
        (
            offset + count
            for level in levels
            for page in level.pages
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
        ),
        default=0,
    )
    size = path.stat().st_size
    if stated > size:
        raise SlideError(
            f"{path.name} is truncated: it has {size:,} of {stated:,} bytes.",
            COPY_AGAIN,
        )


def _check_parts(path: Path, page: tifffile.TiffPage, count: int) -> None:
    rows, cols = segment_shape(page)
    separate = page.planarconfig == 2
    planes = page.samplesperpixel if separate else 1
    samples = 1 if separate else page.samplesperpixel
    if rows * cols > 0:
        if page.compression != 1 and rows * cols * samples > 3 * MAX_PART_PIXELS:
            raise too_large(path, (rows, cols), MAX_PART_PIXELS)
        down, across = grid_shape(page)
        if count == planes * down * across:
            return
    raise SlideError(
        f"{path.name} is damaged: {count} parts of {rows} x {cols} do not make "
        f"{page.imagelength} x {page.imagewidth} pixels.",
        COPY_AGAIN,
    )
