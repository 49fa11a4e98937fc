"""Scanner formats, through OpenSlide."""

import threading
from collections.abc import Mapping
from math import prod
from pathlib import Path

import numpy as np
import openslide

from segmix_core.errors import SlideError
from segmix_core.geometry import Box, mean_mpp
from segmix_core.slides.level_shapes import (
    check_edges,
    is_smaller_copy,
    unused_levels_note,
)
from segmix_core.slides.orientation import UPRIGHT
from segmix_core.slides.pixel_size import (
    UNSTATED,
    PixelSize,
    broken_pixel_size,
    check_pixel_size,
)
from segmix_core.slides.pixels import (
    COPY_AGAIN,
    NotThisFormatError,
    on_white,
    reading,
    to_rgb,
)
from segmix_core.slides.slide import RgbArray
from segmix_core.slides.tiff_header import read_scan_header

_MAX_TILE_PIXELS = 2**27
"""Largest tile: OpenSlide aborts the process if it cannot allocate one."""


def open_with_openslide(path: Path) -> "OpenSlideSlide":
    """Open a scanner file.

    Generic TIFF is left to :mod:`segmix_core.slides.tiff_reader`, which also reads the
    levels in SubIFDs.

    Raises
    ------
    NotThisFormatError
        If OpenSlide does not know the format.
    SlideError
        If it knows the scanner but refuses the file. Other readers would open some of
        these files with parts missing.
    """
    try:
        vendor = openslide.OpenSlide.detect_format(path)
    except openslide.OpenSlideError as error:
        raise NotThisFormatError(str(error)) from error
    if vendor is None:
        raise NotThisFormatError("no scanner format that it knows")
    if vendor == "generic-tiff":
        raise NotThisFormatError("a TIFF of no scanner that it knows")
    header = read_scan_header(path)
    if not header.is_possible:
        # OpenSlide would abort the process if it cannot allocate the memory.
        raise _damaged(path, "with a tile larger than the file")
    try:
        handle = openslide.OpenSlide(path)
    except openslide.OpenSlideError as error:
        raise SlideError(
            f"OpenSlide cannot open {path.name} (format {vendor!r}): {error}.",
            "Copy it again if it is damaged, or export it as a pyramidal TIFF "
            "(QuPath: File > Export images > OME TIFF).",
        ) from error
    with reading(path, f"{path.name} has a damaged header"):
        if _largest_tile(handle) > _MAX_TILE_PIXELS:
            handle.close()
            raise _damaged(path, "with tiles of an impossible size")
        return OpenSlideSlide(path, handle, header.orientation)


def _damaged(path: Path, how: str) -> SlideError:
    return SlideError(f"{path.name} has a damaged header {how}.", COPY_AGAIN)


class OpenSlideSlide:
    """A slide that OpenSlide reads; safe to read from several threads at once."""

    def __init__(
        self, path: Path, handle: openslide.OpenSlide, orientation: int
    ) -> None:
        self.path = path
        self._handle = handle
        self._lock = threading.Lock()
        self._downsamples = handle.level_downsamples
        shapes = [(height, width) for width, height in handle.level_dimensions]
        check_edges(path, shapes[0])
        self._numbers = [
            number
            for number, shape in enumerate(shapes)
            if is_smaller_copy(shape, shapes[0])
        ]
        self.level_shapes = tuple(shapes[number] for number in self._numbers)
        size = _pixel_size(handle)
        self.mpp_yx = size.yx
        self.mpp = mean_mpp(size.yx)
        self.bounds = find_bounds(handle.properties, Box(0, 0, *self.level_shapes[0]))
        self.identity = _identity(handle)
        self.size_notes = size.notes
        self.notes = (
            size.notes
            + unused_levels_note(len(shapes) - len(self._numbers))
            + _orientation_notes(orientation)
        )

    def read_level(self, level: int, box: Box) -> RgbArray:
        """Return (H, W, 3) pixels of ``box``, in pixels of ``level``."""
        return on_white(box, self.level_shapes[level], lambda b: self._read(level, b))

    def _read(self, level: int, box: Box) -> RgbArray:
        number = self._numbers[level]
        downsample = self._downsamples[number]
        location = (round(box.x * downsample), round(box.y * downsample))
        handle = self._handle
        with reading(self.path, f"Part of {self.path.name} cannot be read"):
            try:
                image = handle.read_region(location, number, (box.width, box.height))
            except openslide.OpenSlideError:
                self._replace(handle)
                raise
            return to_rgb(np.asarray(image))

    def _replace(self, failed: openslide.OpenSlide) -> None:
        # After an error an OpenSlide handle is unusable, so one damaged tile would make
        # all others unreadable. Other threads may still use the old handle, which
        # closes itself.
        with self._lock:
            if self._handle is failed:
                self._handle = openslide.OpenSlide(self.path)

    def close(self) -> None:
        """Close the file."""
        self._handle.close()


def _largest_tile(handle: openslide.OpenSlide) -> int:
    sizes = [1]
    for level in range(handle.level_count):
        edges = (
            handle.properties.get(f"openslide.level[{level}].tile-{edge}", "1")
            for edge in ("width", "height")
        )
        sizes.append(prod(int(edge) for edge in edges))
    return max(sizes)


def _pixel_size(handle: openslide.OpenSlide) -> PixelSize:
    texts = [
        handle.properties.get(f"openslide.mpp-{axis}")
        # OpenSlide leaves out values that are not numbers.
        or handle.properties.get("aperio.MPP")
        for axis in "yx"
    ]
    if texts[0] is None or texts[1] is None:
        return UNSTATED
    try:
        return check_pixel_size(float(texts[0]), float(texts[1]))
    except ValueError:
        return broken_pixel_size(f"Its pixel size is given as {texts[0]:.40}")


def find_bounds(properties: Mapping[str, str], frame: Box) -> Box | None:
    """Return the scanned part of the frame; None if it is all, or not stated."""
    texts = [
        properties.get(f"openslide.bounds-{name}")
        for name in ("y", "x", "height", "width")
    ]
    try:
        y, x, height, width = (int(text) for text in texts if text is not None)
        bounds = Box(y, x, height, width).intersect(frame)
    except ValueError:
        return None
    return bounds if bounds.area and bounds != frame else None


def _identity(handle: openslide.OpenSlide) -> str | None:
    for kind, name in (
        ("dicom", "dicom.SeriesInstanceUID"),
        ("quickhash-1", "openslide.quickhash-1"),
    ):
        if value := handle.properties.get(name):
            return f"{kind}:{value}"
    return None


def _orientation_notes(orientation: int) -> tuple[str, ...]:
    # OpenSlide rotates single tiles in some formats and nothing in others, so the tag
    # cannot be applied.
    if orientation == UPRIGHT:
        return ()
    return (
        f"Its orientation tag ({orientation}) is ignored; other programs may show it "
        "rotated or mirrored.",
    )
