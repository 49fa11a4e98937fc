"""Show and correct the tissue of a slide, and update its tiles.

Tiles that are tissue before and after keep their labels, reviews and ids. Removed tiles
are only hidden: they come back with their labels if their place becomes tissue again.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from segmix_core.disk_errors import reason_of
from segmix_core.errors import ProjectError
from segmix_core.files import write_atomically
from segmix_core.geometry import Box
from segmix_core.intake.opening import OpenImage, open_directly
from segmix_core.project.records import (
    UNCHANGED,
    Change,
    ImageRecord,
    SourceKind,
    TilingPlan,
    Tissue,
)
from segmix_core.project.store import ProjectStore
from segmix_core.slides.tiling import TileGrid, plan_grid
from segmix_core.slides.tissue import FoundTissue, find_tissue

DEFAULT_MIN_SHARE = 0.25
"""Default of the share of a tile that has to be tissue."""
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_MAX_PNG_PIXELS = 2**26
_MIN_EDGE = 8
"""Smaller masks do not show whether they have the shape of the slide."""
_MAX_STRETCH = 0.02
"""Largest relative deviation of the aspect ratio of a mask."""


def find_slide_tissue(
    find: Callable[[int], FoundTissue],
    plan: TilingPlan,
    downsample: float,
    min_share: float,
) -> Tissue:
    """Find the tissue of a slide, at the resolution its tiles need.

    Parameters
    ----------
    find
        Function that finds the tissue, given the edge of the tiles in level-0 pixels;
        see :func:`segmix_core.slides.tissue.find_tissue`.
    plan, downsample
        The tiling plan, and level-0 pixels per working pixel.
    min_share
        Stored with the mask.

    Raises
    ------
    SlideError
        If the file is damaged.
    """
    found = find(smallest_edge(plan, downsample))
    return Tissue(found.mask, found.downsample, min_share)


def smallest_edge(plan: TilingPlan, downsample: float) -> int:
    """Return the edge of tiles in level-0 pixels for tissue detection."""
    return max(1, int(plan.tile_px * downsample))


def tiles_with_tissue(grid: TileGrid, tissue: Tissue) -> npt.NDArray[np.bool_]:
    """Return which tiles of a grid, (n,), have enough tissue."""
    return np.asarray(tissue.fractions(grid.boxes) >= tissue.min_share)


def read_tissue(
    store: ProjectStore, image_id: int, open_image: OpenImage = open_directly
) -> Tissue:
    """Return the stored tissue of a slide, or detect it if none is stored.

    Raises
    ------
    ProjectError
        If the image is one of a folder of tiles.
    SlideError
        If the slide has to be read and cannot be.
    """
    _plan_of(store, image_id)
    stored = store.tissue(image_id)
    if stored is not None:
        return stored
    return detect_tissue(store, image_id, open_image)


def detect_tissue(
    store: ProjectStore, image_id: int, open_image: OpenImage = open_directly
) -> Tissue:
    """Detect the tissue of a slide from its pixels; nothing is stored.

    Raises
    ------
    ProjectError, SlideError
        As :func:`read_tissue`.
    """
    image, plan = _plan_of(store, image_id)
    stored = store.tissue(image_id)
    min_share = DEFAULT_MIN_SHARE if stored is None else stored.min_share
    with closing(open_image(image)) as slide:
        find = partial(find_tissue, slide)
        return find_slide_tissue(find, plan, image.downsample, min_share)


def set_tissue(store: ProjectStore, image_id: int, tissue: Tissue) -> Change | None:
    """Store where a slide has tissue, and update its tiles.

    Returns
    -------
    Change or None
        None if neither mask nor tiles change.

    Raises
    ------
    ProjectError
        If the image is one of a folder of tiles, or no tile would be left.
    """
    with store.atomic():
        image, plan = _plan_of(store, image_id)
        grid = plan_grid((image.height, image.width), image.downsample, plan)
        grid = grid.take(tiles_with_tissue(grid, tissue))
        if not len(grid):
            raise ProjectError(
                f"{image.path.name} would have no tiles left with this tissue.",
                "Paint the tissue first, then erase the rest.",
            )
        return store.set_tissue(image_id, tissue, grid.boxes, grid.rows, grid.cols)


def paint_tissue(
    store: ProjectStore,
    image_id: int,
    box: Box,
    values: npt.NDArray[np.uint8],
    base: Tissue,
) -> Change | None:
    """Correct a part of the tissue of a slide, and update its tiles.

    Corrections by other programs outside the box are kept.

    Parameters
    ----------
    store, image_id
        The slide.
    box
        Inside the mask, in its pixels.
    values
        (height, width): 1 tissue, 0 glass, 253 leaves the stored value.
    base
        The tissue the user sees; stored if nothing is yet.

    Raises
    ------
    ProjectError
        As :func:`set_tissue`.
    ValueError
        If box or values do not match the mask.
    """
    frame = Box(0, 0, *base.mask.shape)
    if box.intersect(frame) != box or values.shape != (box.height, box.width):
        raise ValueError(f"Values and {box} do not fit into {frame}")
    if not np.isin(values, (0, 1, UNCHANGED)).all():
        raise ValueError("Values must be 0, 1 or 253")
    with store.atomic():
        now = store.tissue(image_id) or base
        if now.mask.shape != base.mask.shape or now.downsample != base.downsample:
            raise ProjectError(
                "Another program stored the tissue at a different resolution.",
                "Show the tissue again and repeat the correction.",
            )
        mask = now.mask.copy()
        part = mask[box.slices]
        mask[box.slices] = np.where(values == UNCHANGED, part, values != 0)
        return set_tissue(store, image_id, replace(now, mask=mask))


def check_save(store: ProjectStore, path: Path) -> None:
    """Check that a mask may be written to a file.

    Raises
    ------
    ProjectError
        If it is not a PNG, or is an image of the project.
    """
    if path.suffix.lower() != ".png":
        raise ProjectError(
            f"{path.name} does not end in .png.", "Choose a name such as tissue.png."
        )
    place = path.resolve()
    if any(image.path.resolve() == place for image in store.images()):
        raise ProjectError(
            f"{path.name} is an image of the project.", "Choose another name."
        )


def save_tissue_png(tissue: Tissue, path: Path) -> None:
    """Write the mask as a PNG: 255 tissue, 0 glass.

    Raises
    ------
    ProjectError
        If it cannot be written.
    """
    image = Image.fromarray(tissue.mask.astype(np.uint8) * np.uint8(255))
    try:
        write_atomically(path, lambda file: image.save(file, "PNG"))
    except OSError as error:
        raise ProjectError(
            f"{path.name} cannot be written ({reason_of(error)}).",
            "Choose a writable folder.",
        ) from error


def load_tissue_png(path: Path, like: Tissue) -> Tissue:
    """Read tissue from an image file; every pixel that is not black is tissue.

    Parameters
    ----------
    path
        Image of the whole slide, at any size.
    like
        Gives the resolution and the share.

    Raises
    ------
    ProjectError
        If the file is not an image, too large, or has another aspect ratio.
    """
    try:
        with Image.open(path) as image:
            _check_size(path, image.size, like)
            shown = np.asarray(image.convert("L")) > 0
    except (OSError, ValueError, SyntaxError, *_BOMBS) as error:
        raise ProjectError(
            f"{path.name} cannot be read as an image ({error}).",
            "Use a PNG of the whole slide with white tissue on black.",
        ) from error
    height, width = like.mask.shape
    if shown.shape != (height, width):
        gray = Image.fromarray(shown.astype(np.uint8) * np.uint8(255))
        resized = gray.resize((width, height), Image.Resampling.BOX)
        shown = np.asarray(resized) > 127
    return replace(like, mask=shown)


def _check_size(path: Path, size: tuple[int, int], like: Tissue) -> None:
    width, height = size
    if width * height > _MAX_PNG_PIXELS:
        raise ProjectError(
            f"{path.name} is {width} x {height} pixels, which is too large for a "
            "tissue mask.",
            "Save it smaller; 'segmix tissue --save' writes one of the right size.",
        )
    rows, cols = like.mask.shape
    if max(size) < min(_MIN_EDGE, max(rows, cols)):
        raise ProjectError(
            f"{path.name} is {width} x {height} pixels, which is too small for a "
            "tissue mask.",
            f"Its longer side needs at least {_MIN_EDGE} pixels; 'segmix tissue "
            "--save' writes one of the right size.",
        )
    wanted = rows * width / cols
    # Both masks are rounded to whole pixels.
    rounded = 0.5 + min(1.0, width / cols)
    if abs(height - wanted) > max(_MAX_STRETCH * wanted, rounded):
        raise ProjectError(
            f"{path.name} is {width} x {height} pixels, which does not have the "
            f"aspect ratio of the slide ({cols} x {rows} at tissue resolution).",
            "Use a mask of the whole slide.",
        )


def _plan_of(store: ProjectStore, image_id: int) -> tuple[ImageRecord, TilingPlan]:
    image = store.image(image_id)
    source = store.source(image.source_id)
    if source.kind is not SourceKind.SLIDE:
        raise ProjectError(
            f"{source.name} is a folder of tiles, which has no tissue mask.",
            "Choose a slide.",
        )
    return image, source.plan
