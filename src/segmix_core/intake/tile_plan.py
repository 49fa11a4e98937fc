"""A folder of tile images as a source: every image is one tile."""

from collections import Counter
from collections.abc import Sequence
from math import ceil
from pathlib import Path

import numpy as np

from segmix_core.errors import SlideError
from segmix_core.geometry import Box
from segmix_core.intake.options import IntakeOptions, PlannedSource, find_downsample
from segmix_core.intake.slide_plan import plan_slide
from segmix_core.project.records import NewImage, SourceKind, TilingPlan
from segmix_core.slides.image_folder import (
    SCANNER_SUFFIXES,
    TILE_SUFFIXES,
    Headers,
    ImageHeader,
    list_files,
    no_images_error,
    read_headers,
)

MAX_PADDED_EDGE = 512
"""Longest edge of tile images that differ in size, in pixels."""
MAX_TILE_EDGE = 1024
MAX_SPREAD = 4


def plan_folder(folder: Path, options: IntakeOptions) -> list[PlannedSource]:
    """Return the slides and the tile images that lie in a folder.

    Raises
    ------
    SlideError
        If there are no images, none can be read, or they are no tiles.
    """
    files = list_files(folder)
    slides = [f for f in files if f.suffix.lower() in SCANNER_SUFFIXES]
    planned = [plan_slide(path, options) for path in slides]
    headers = read_headers([f for f in files if f.suffix.lower() in TILE_SUFFIXES])
    if headers.found:
        planned.append(
            plan_tiles(folder, headers.found, options, _failure_notes(headers))
        )
    if planned:
        return planned
    if headers.failures:
        count, first = len(headers.failures), headers.failures[0][1]
        raise SlideError.unexpected(
            f"at least one image that can be read in {folder.name}",
            f"{count} that cannot; the first: {first.reason}",
            first.remedy,
        )
    raise no_images_error(folder)


def _failure_notes(headers: Headers) -> tuple[str, ...]:
    count = len(headers.failures)
    if count == 0:
        return ()
    names = ", ".join(path.name for path, _ in headers.failures[:3])
    rest = f" and {count - 3} more" if count > 3 else ""
    first = headers.failures[0][1]
    return (
        f"{names}{rest} cannot be read and were left out; the first: {first.reason}.",
    )


def plan_tiles(
    folder: Path,
    headers: Sequence[ImageHeader],
    options: IntakeOptions,
    notes: tuple[str, ...] = (),
) -> PlannedSource:
    """Return images as one source with one tile each, in a nearly square gallery.

    Raises
    ------
    SlideError
        If an image is too large for a tile or the sizes differ too much.
    """
    _check_sizes(folder, headers)
    across = ceil(len(headers) ** 0.5)
    images = [
        _tile_image(header, options, divmod(place, across))
        for place, header in enumerate(headers)
    ]
    edges = [max(image_shape) for image_shape in map(_working_shape, images)]
    tile_px = ceil(max(edges) / 16) * 16
    plan = TilingPlan(tile_px, tile_px, options.mpp)
    notes += _tile_notes(folder, headers, tile_px)
    name = _source_name(folder)
    return PlannedSource(SourceKind.FOLDER, folder, name, plan, tuple(images), notes)


def _source_name(folder: Path) -> str:
    # Many data sets call the folder of their images "images".
    is_generic = folder.name.lower() in ("images", "image", "img", "imgs", "tiles")
    return f"{folder.parent.name}/{folder.name}" if is_generic else folder.name


def _check_sizes(folder: Path, headers: Sequence[ImageHeader]) -> None:
    largest = max(headers, key=lambda h: max(h.height, h.width))
    smallest = min(headers, key=lambda h: min(h.height, h.width))
    high = max(largest.height, largest.width)
    low = min(smallest.height, smallest.width)
    is_uniform = len({(h.height, h.width) for h in headers}) == 1
    limit = MAX_TILE_EDGE if is_uniform else MAX_PADDED_EDGE
    if high > limit:
        kind = "one size" if is_uniform else "different sizes"
        raise SlideError.unexpected(
            f"tile images of {kind} with edges of at most {limit} pixels",
            f"{largest.path.name} with {largest.height} x {largest.width} in "
            f"{folder.name}",
            "Add the image files instead of their folder: large ones are then cut "
            "into tiles.",
        )
    if not is_uniform and high > MAX_SPREAD * low:
        raise SlideError.unexpected(
            f"tile images whose edges differ at most {MAX_SPREAD} times",
            f"{low} pixels in {smallest.path.name} and {high} in {largest.path.name}",
            "Put them into one folder for each size, and add those.",
        )


def _tile_image(
    header: ImageHeader, options: IntakeOptions, place: tuple[int, int]
) -> NewImage:
    mpp = header.mpp or options.slide_mpp
    return NewImage(
        path=header.path,
        height=header.height,
        width=header.width,
        mpp_y=mpp,
        mpp_x=mpp,
        downsample=find_downsample(header.path, mpp, options.mpp),
        group=header.path.stem,
        boxes=np.array([[0, 0, header.height, header.width]], np.int64),
        rows=np.array([place[0]], np.int64),
        cols=np.array([place[1]], np.int64),
    )


def _working_shape(image: NewImage) -> tuple[int, int]:
    box = Box(0, 0, image.height, image.width).scaled(1 / image.downsample)
    return box.height, box.width


def _tile_notes(
    folder: Path, headers: Sequence[ImageHeader], tile_px: int
) -> tuple[str, ...]:
    counts = Counter(note for header in headers for note in header.notes)
    notes = [f"{folder.name}: {note} ({n} images)" for note, n in counts.items()]
    if len({(h.height, h.width) for h in headers}) > 1:
        notes.append(
            f"{folder.name}: its images differ in size; they are padded to {tile_px} "
            "pixels by reflection for training, and results are cut back."
        )
    return tuple(notes)
