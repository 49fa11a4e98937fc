"""Plan a folder of tile images: every image is one tile."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path

import numpy as np

from segmix_core.errors import SlideError
from segmix_core.files import image_stem
from segmix_core.geometry import Box, mean_mpp
from segmix_core.intake.options import (
    IntakeOptions,
    LookedAt,
    PlannedSource,
    find_downsample,
)
from segmix_core.intake.pixel_size import choose_mpp, notes_of, overruled_note
from segmix_core.project.records import NewImage, SourceKind, TilingPlan
from segmix_core.slides.first_look import ImageHeader

MAX_PADDED_EDGE = 512
"""Longest edge of tile images if they differ in size, in pixels."""
MAX_TILE_EDGE = 1024
MAX_SPREAD = 4


def plan_tiles(
    folder: Path, found: Sequence[LookedAt], options: IntakeOptions
) -> PlannedSource:
    """Plan images as one source with one tile each, in a nearly square gallery.

    Raises
    ------
    SlideError
        If an image is too large for a tile or the sizes differ too much.
    """
    headers = [image.header for image in found]
    _check_sizes(folder, headers)
    across = ceil(len(found) ** 0.5)
    images = [
        _tile_image(image, options, divmod(place, across))
        for place, image in enumerate(found)
    ]
    edges = [max(image_shape) for image_shape in map(_working_shape, images)]
    tile_px = ceil(max(edges) / 16) * 16
    plan = TilingPlan(tile_px, tile_px, options.mpp)
    counts = Counter(note for head in headers for note in notes_of(head, options))
    notes = _tile_notes(folder, headers, tile_px, counts)
    notes += overruled_note(headers, options)
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
        raise SlideError(
            f"{largest.path.name} in {folder.name} is {largest.height} x "
            f"{largest.width} pixels; tile images of {kind} can have at most {limit} "
            "per side.",
            "Add the image files instead of their folder; large ones are then cut "
            "into tiles.",
        )
    if not is_uniform and high > MAX_SPREAD * low:
        raise SlideError(
            f"Tile images in one folder can differ {MAX_SPREAD} times in size, but "
            f"{smallest.path.name} has a side of {low} pixels and {largest.path.name} "
            f"one of {high}.",
            "Put each size into its own folder and add the folders.",
        )


def _tile_image(
    found: LookedAt, options: IntakeOptions, place: tuple[int, int]
) -> NewImage:
    header = found.header
    mpp_y, mpp_x = choose_mpp(header, options)
    mpp = mean_mpp((mpp_y, mpp_x))
    return NewImage(
        path=header.path,
        height=header.height,
        width=header.width,
        mpp_y=mpp_y,
        mpp_x=mpp_x,
        downsample=find_downsample(header.path, mpp, options.mpp),
        group=image_stem(header.path),
        boxes=np.array([[0, 0, header.height, header.width]], np.int64),
        rows=np.array([place[0]], np.int64),
        cols=np.array([place[1]], np.int64),
        fingerprint=found.fingerprint,
    )


def _working_shape(image: NewImage) -> tuple[int, int]:
    box = Box(0, 0, image.height, image.width).scaled(1 / image.downsample)
    return box.height, box.width


def _tile_notes(
    folder: Path,
    headers: Sequence[ImageHeader],
    tile_px: int,
    counts: Mapping[str, int],
) -> tuple[str, ...]:
    notes = [f"{folder.name}: {note} ({n} images)" for note, n in counts.items()]
    if len({(h.height, h.width) for h in headers}) > 1:
        notes.append(
            f"{folder.name}: its images differ in size; they are padded to {tile_px} "
            "pixels by reflection for training, and results are cut back."
        )
    return tuple(notes)
