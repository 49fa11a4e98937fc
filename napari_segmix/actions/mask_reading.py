"""Reading masks for the viewer, in threads: no layer or widget is touched here."""

from contextlib import closing
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
from napari_segmix.model.displayed_source import DisplayedSource
from segmix_core.errors import JobError, ProjectError
from segmix_core.export.label_tiff import sidecar_path
from segmix_core.files import read_json
from segmix_core.geometry import Box
from segmix_core.intake.opening import OpenImage
from segmix_core.project.records import UNTOUCHED, ImageRecord, SourceKind
from segmix_core.runs.results import load_tiles, open_mask, read_mask
from segmix_core.slides.region import read_region

if TYPE_CHECKING:
    from segmix_core.project.store import ProjectStore

MAX_WINDOW_PX = 8192
"""Longest edge of a correction window, in mask pixels: what napari paints fluently."""
_MAX_OVERLAY_EDGE = 8192
_MAX_PICTURE_EDGE = 2048
_BAND_ROWS = 2048


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


def read_overlay(store: "ProjectStore", run: Path, source: DisplayedSource) -> Mosaic:
    """Return the masks of a source with their corrections, as coarse as needed."""
    corrected = set(store.corrected_tiles(int(_source_of(source))).tolist())
    if source.kind is SourceKind.SLIDE:
        return _slide_overlay(store, run, source, corrected)
    place = source.placement
    rows, cols = place.grid_shape
    step = max(1.0, float(np.sqrt(rows * cols * place.pitch**2 / MAX_MASK_PX)))

    def read(row: int) -> Bytes:
        image_id, box = int(source.tiles.image_ids[row]), source.working_box(row)
        if int(source.tiles.ids[row]) in corrected:
            return read_values(store, run, image_id, box)
        return read_mask(run, image_id, box)

    return mask_mosaic(place, read, step=step)


def read_file(path: Path, source: DisplayedSource, row: int) -> Mosaic:
    """Return an exported mask at the place of its image; of a pyramid a small level.

    A mask of a part of its image lies where the file of its classes says.

    Raises
    ------
    ProjectError
        If the file is no label image.
    """
    pixels, longest = _read_label_file(path)
    image = source.image_of(row)
    y, x, step = source.canvas_origin(row)
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


def _source_of(source: DisplayedSource) -> int:
    return source.images[0].source_id


def _slide_overlay(
    store: "ProjectStore", run: Path, source: DisplayedSource, corrected: set[int]
) -> Mosaic:
    image = source.images[0]
    height, width = image.working_shape
    area, edge = height * width / MAX_MASK_PX, max(height, width) / _MAX_OVERLAY_EDGE
    every = max(1, int(np.ceil(max(np.sqrt(area), edge))))
    step = every * image.downsample
    pixels = _read_every(run, image, every)
    pixels[~coverage(source.placement, step, pixels.shape)] = 0
    for row in np.flatnonzero(np.isin(source.tiles.ids, list(corrected))):
        box = source.working_box(int(row))
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
