"""Reading masks for the viewer, in threads: no layer or widget is touched here."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from napari_segmix.layers.mosaics import (
    MAX_MASK_PX,
    Bytes,
    Mosaic,
    coverage,
    mask_mosaic,
)
from napari_segmix.layers.placement import Placement
from segmix_core.errors import JobError, ProjectError
from segmix_core.export.label_tiff import sidecar_path
from segmix_core.files import read_json
from segmix_core.geometry import Box
from segmix_core.intake.opening import OpenImage
from segmix_core.project.matching import ImageMatcher
from segmix_core.project.records import (
    UNTOUCHED,
    ImageRecord,
    SourceKind,
    TileTable,
)
from segmix_core.runs.results import load_tiles, open_mask, read_mask
from segmix_core.slides.region import read_region

if TYPE_CHECKING:
    from segmix_core.project.store import ProjectStore

MAX_WINDOW_PX = 8192
"""Longest edge of a correction window, in mask pixels: what napari paints fluently."""
_MAX_OVERLAY_EDGE = 8192
_MAX_PICTURE_EDGE = 2048
_BAND_ROWS = 2048


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A source as it is shown: what masks are drawn over."""

    kind: SourceKind
    images: Sequence[ImageRecord]
    tiles: TileTable
    placement: Placement

    def image_of(self, row: int) -> ImageRecord:
        """Return the image of a tile."""
        wanted = int(self.tiles.image_ids[row])
        return next(image for image in self.images if image.id == wanted)

    def working_box(self, row: int) -> Box:
        """Return the box of a tile on the working grid of its image."""
        image = self.image_of(row)
        box = self.tiles.box(row).scaled(1 / image.downsample)
        return box.intersect(Box(0, 0, *image.working_shape))

    def rows_at(self, image_id: int, box: Box) -> list[int]:
        """Return the rows of the image's tiles that a working box touches."""
        rows = np.flatnonzero(self.tiles.image_ids == image_id)
        if not len(rows):
            return []
        # All that may touch it at once; the few that are left are looked at exactly.
        boxes = self.tiles.boxes[rows] / self.image_of(int(rows[0])).downsample
        low, size = boxes[:, :2], boxes[:, 2:]
        corner, end = np.array([box.y, box.x]), np.array([box.bottom, box.right])
        near = ((low <= end + 1) & (low + size >= corner - 1)).all(axis=1)
        return [
            int(row)
            for row in rows[near]
            if self.working_box(int(row)).intersect(box).area
        ]

    def row_of_file(self, path: Path) -> int | None:
        """Return a tile of the image that an exported file was made for, or None."""
        image = ImageMatcher(self.images).find(path.name).item
        if image is None:
            return None
        rows = np.flatnonzero(self.tiles.image_ids == image.id)
        return int(rows[0]) if len(rows) else None

    def canvas_origin(self, row: int) -> tuple[float, float, float]:
        """Return canvas y, x of the working grid's origin, and its pixel's edge."""
        level0, shown = self.tiles.boxes[row], self.placement.boxes[row]
        longest = int(np.argmax(level0[2:]))
        step = float(shown[2 + longest] / level0[2 + longest])
        y, x = shown[:2] - level0[:2] * step
        return float(y), float(x), step * self.image_of(row).downsample


def read_values(
    store: "ProjectStore", run: Path | None, image_id: int, box: Box
) -> Bytes:
    """Return a part of a mask with its corrections, (box.height, box.width) uint8.

    255 where neither the run nor a person has said anything.
    """
    values = np.full((box.height, box.width), 255, np.uint8)
    if run is not None:
        values = read_mask(run, image_id, box)
    corrected = store.corrections(image_id, box)
    return np.where(corrected == UNTOUCHED, values, corrected)


def read_picture(image: ImageRecord, box: Box, open_image: OpenImage) -> Bytes:
    """Return the pixels under a working box, RGB, in full or 2048 px an edge.

    Raises
    ------
    SlideError
        If the image cannot be read.
    """
    level0 = box.scaled(image.downsample)
    shrink = max(1.0, max(level0.height, level0.width) / _MAX_PICTURE_EDGE)
    shape = round(level0.height / shrink), round(level0.width / shrink)
    with closing(open_image(image)) as slide:
        return read_region(slide, level0, shape)


def read_overlay(store: "ProjectStore", run: Path, shown: Shown) -> Mosaic:
    """Return the masks of a source with their corrections, as coarse as needed."""
    corrected = set(store.corrected_tiles(int(_source_of(shown))).tolist())
    if shown.kind is SourceKind.SLIDE:
        return _slide_overlay(store, run, shown, corrected)
    place = shown.placement
    rows, cols = place.grid_shape
    step = max(1.0, float(np.sqrt(rows * cols * place.pitch**2 / MAX_MASK_PX)))

    def read(row: int) -> Bytes:
        image_id, box = int(shown.tiles.image_ids[row]), shown.working_box(row)
        if int(shown.tiles.ids[row]) in corrected:
            return read_values(store, run, image_id, box)
        return read_mask(run, image_id, box)

    return mask_mosaic(place, read, step=step)


def read_file(path: Path, shown: Shown, row: int) -> Mosaic:
    """Return an exported mask at the place of its image; of a pyramid a small level.

    A mask of a part of its image lies where the file of its classes says.

    Raises
    ------
    ProjectError
        If the file is no label image.
    """
    pixels, longest = _read_label_file(path)
    image = shown.image_of(row)
    y, x, step = shown.canvas_origin(row)
    origin = _origin(path)
    if origin is None:
        return Mosaic(pixels, y, x, step * max(image.working_shape) / max(pixels.shape))
    dy, dx = (place / image.downsample * step for place in origin)
    return Mosaic(pixels, y + dy, x + dx, step * longest / max(pixels.shape))


def _origin(path: Path) -> tuple[float, float] | None:
    """Return where an exported part of an image begins, in level-0 pixels."""
    try:
        place = read_json(sidecar_path(path))["origin"]
        y, x = float(place["y"]), float(place["x"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (y, x) if y or x else None


def _read_label_file(path: Path) -> tuple[Bytes, int]:
    """Return the pixels of a level, and the longest edge of the whole file."""
    try:
        if path.suffix == ".png":
            values = np.asarray(Image.open(path), np.uint8)
            return values, max(values.shape)
        with tifffile.TiffFile(path) as file:
            for level in file.series[0].levels:
                if level.shape[-2] * level.shape[-1] <= MAX_MASK_PX:
                    break
            return np.asarray(level.asarray(), np.uint8), max(file.series[0].shape)
    except (OSError, ValueError, IndexError, tifffile.TiffFileError) as error:
        raise ProjectError(
            f"{path.name} cannot be read as a mask ({error}).",
            "Export it again.",
        ) from error


def read_doubt(run: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return ids (n,) and doubts (n,) in 0..1 of a run's tiles; empty without."""
    try:
        columns = load_tiles(run)
    except JobError:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    ids = columns["tile_ids"]
    return ids, columns.get("doubt", np.zeros(len(ids), np.float32))


def _source_of(shown: Shown) -> int:
    return shown.images[0].source_id


def _slide_overlay(
    store: "ProjectStore", run: Path, shown: Shown, corrected: set[int]
) -> Mosaic:
    image = shown.images[0]
    height, width = image.working_shape
    area, edge = height * width / MAX_MASK_PX, max(height, width) / _MAX_OVERLAY_EDGE
    every = max(1, int(np.ceil(max(np.sqrt(area), edge))))
    step = every * image.downsample
    pixels = _read_every(run, image, every)
    pixels[~coverage(shown.placement, step, pixels.shape)] = 0
    for row in np.flatnonzero(np.isin(shown.tiles.ids, list(corrected))):
        box = shown.working_box(int(row))
        values = read_values(store, run, image.id, box)
        part = values[-box.y % every :: every, -box.x % every :: every]
        top, left = -(-box.y // every), -(-box.x // every)
        pixels[top : top + part.shape[0], left : left + part.shape[1]] = part
    return Mosaic(pixels, 0.0, 0.0, step)


def _read_every(run: Path, image: ImageRecord, every: int) -> Bytes:
    """Return each ``every``-th pixel of a mask, band by band."""
    height, width = image.working_shape
    shape = -(-height // every), -(-width // every)
    pixels = np.full(shape, 255, np.uint8)
    mask = open_mask(run, image.id, image.working_shape)
    if mask is None:
        return pixels
    rows = max(1, _BAND_ROWS // every) * every
    for y in range(0, height, rows):
        band = np.asarray(mask[y : y + rows])[::every, ::every]
        pixels[y // every : y // every + len(band)] = band
    return pixels
