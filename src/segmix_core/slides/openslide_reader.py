"""Scanner formats, through OpenSlide."""

from math import prod
from pathlib import Path

import numpy as np
import openslide

from segmix_core.errors import SlideError
from segmix_core.geometry import Box
from segmix_core.slides.pixels import NotThisFormatError, on_white, sane_mpp, to_rgb
from segmix_core.slides.slide import RgbArray

_MAX_TILE_PIXELS = 2**27
"""OpenSlide ends the whole process when it cannot have the memory of a tile."""


def open_with_openslide(path: Path) -> "OpenSlideSlide":
    """Open a scanner's file.

    Generic TIFF is left to :mod:`segmix_core.slides.tiff_reader`, which sees more
    levels there: OpenSlide knows no SubIFDs.

    Raises
    ------
    NotThisFormatError
        If OpenSlide does not know the format or cannot open the file.
    """
    try:
        vendor = openslide.OpenSlide.detect_format(path)
        if vendor is None:
            raise NotThisFormatError("no scanner format that it knows")
        if vendor == "generic-tiff":
            raise NotThisFormatError("a TIFF of no scanner that it knows")
        handle = openslide.OpenSlide(path)
    except openslide.OpenSlideError as error:
        raise NotThisFormatError(str(error)) from error
    if _largest_tile(handle) > _MAX_TILE_PIXELS:
        handle.close()
        raise NotThisFormatError("a damaged header, with tiles of impossible size")
    return OpenSlideSlide(path, handle)


class OpenSlideSlide:
    """A slide that OpenSlide reads; safe to read from several threads at once."""

    def __init__(self, path: Path, handle: openslide.OpenSlide) -> None:
        self.path = path
        self.notes: tuple[str, ...] = ()
        self._handle = handle
        self.level_shapes = tuple((h, w) for w, h in handle.level_dimensions)
        self.mpp = _mpp(handle)

    def read_level(self, level: int, box: Box) -> RgbArray:
        """Return (H, W, 3) pixels of ``box``, in pixels of ``level``."""
        return on_white(box, self.level_shapes[level], lambda b: self._read(level, b))

    def _read(self, level: int, box: Box) -> RgbArray:
        downsample = self._handle.level_downsamples[level]
        location = (round(box.x * downsample), round(box.y * downsample))
        try:
            image = self._handle.read_region(location, level, (box.width, box.height))
        except openslide.OpenSlideError as error:
            raise SlideError.unexpected(
                f"pixels at level {level} of {self.path.name}",
                f"OpenSlide's answer: {error}",
                "The file is cut off or damaged: copy it again from its origin.",
            ) from error
        return to_rgb(np.asarray(image))

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


def _mpp(handle: openslide.OpenSlide) -> float | None:
    texts = [handle.properties.get(f"openslide.mpp-{axis}") for axis in "yx"]
    if texts[0] is None or texts[1] is None:
        return None
    return sane_mpp((float(texts[0]), float(texts[1])))
