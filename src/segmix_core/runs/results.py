"""What stages leave in their run folders for other stages, the viewer and people.

- ``masks.zarr``: one array per image, named by its id, (H, W) uint8 on the working
  grid: 0 background, 1..C classes, 255 where no tile lies or the class is doubtful.
- ``cams.zarr``: array "cams", (N, C, h, w) uint8: the map of each tile and class,
  divided by its own largest value, times 255. Times ``scales`` / 255, (N, C) float32
  in ``tiles.npz``, gives the maps back, on one scale for all classes and tiles. Runs
  of older versions have one scale a tile, (N,): that of its strongest class.
- ``tiles.npz``: columns about the N tiles, ``tile_ids`` among them. A tile that could
  not be read has the id -1. ``class_names`` (C,) says what the classes were called.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import ZstdCodec

from segmix_core.errors import JobError
from segmix_core.files import write_atomically
from segmix_core.geometry import Box

MASK_CHUNK = 512
_OUTSIDE = 255


def create_mask(run: Path, image_id: int, shape: tuple[int, int]) -> zarr.Array[Any]:
    """Add the mask of an image to a run, 255 everywhere; an old one is replaced."""
    group = zarr.open_group(run / "masks.zarr", mode="a")
    return group.create_array(
        str(image_id),
        shape=shape,
        chunks=(min(MASK_CHUNK, shape[0]), min(MASK_CHUNK, shape[1])),
        dtype="uint8",
        fill_value=_OUTSIDE,
        compressors=ZstdCodec(level=3),
        overwrite=True,
    )


def open_mask(run: Path, image_id: int) -> zarr.Array[Any] | None:
    """Return the mask of an image, read only; None if the run made none for it."""
    try:
        group = zarr.open_group(run / "masks.zarr", mode="r")
    except FileNotFoundError:
        return None
    mask = group.get(str(image_id))
    return mask if isinstance(mask, zarr.Array) else None


def mask_ids(run: Path) -> tuple[int, ...]:
    """Return the ids of the images that the run has masks of."""
    try:
        group = zarr.open_group(run / "masks.zarr", mode="r")
    except FileNotFoundError:
        return ()
    return tuple(sorted(int(name) for name in group.array_keys()))


def read_mask(run: Path, image_id: int, box: Box) -> npt.NDArray[np.uint8]:
    """Return a part of an image's mask, (box.height, box.width) uint8.

    255 outside the image and where the run has no mask.
    """
    result = np.full((box.height, box.width), _OUTSIDE, np.uint8)
    mask = open_mask(run, image_id)
    if mask is None:
        return result
    inside = box.intersect(Box(0, 0, *mask.shape))
    if inside.area:
        result[inside.moved(-box.y, -box.x).slices] = mask[inside.slices]
    return result


def create_cams(
    run: Path, count: int, num_classes: int, shape: tuple[int, int]
) -> zarr.Array[Any]:
    """Create the array of maps for ``count`` tiles of ``shape`` CAM pixels each."""
    group = zarr.open_group(run / "cams.zarr", mode="a")
    return group.create_array(
        "cams",
        shape=(count, num_classes, *shape),
        chunks=(min(count, 256), num_classes, *shape),
        dtype="uint8",
        compressors=ZstdCodec(level=3),
        overwrite=True,
    )


def open_cams(run: Path) -> zarr.Array[Any]:
    """Return the maps of a "cams" run, read only.

    Raises
    ------
    JobError
        If the run has none.
    """
    try:
        cams = zarr.open_group(run / "cams.zarr", mode="r")["cams"]
    except (FileNotFoundError, KeyError) as error:
        raise _missing("class activation maps", run, "segmix cams") from error
    if not isinstance(cams, zarr.Array):
        raise _missing("class activation maps", run, "segmix cams")
    return cams


def save_tiles(run: Path, columns: Mapping[str, npt.ArrayLike]) -> None:
    """Store columns about tiles; ``tile_ids`` says which."""
    write_atomically(
        run / "tiles.npz",
        lambda file: np.savez(file, allow_pickle=False, **dict(columns)),
    )


def load_tiles(run: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the columns that :func:`save_tiles` stored.

    Raises
    ------
    JobError
        If the run has none.
    """
    try:
        with np.load(run / "tiles.npz", allow_pickle=False) as content:
            return dict(content)
    except FileNotFoundError as error:
        raise _missing("a table of tiles", run, "segmix status") from error


def _missing(what: str, run: Path, command: str) -> JobError:
    return JobError.unexpected(
        f"{what} in {run}", "none", f"Run '{command}' again, or choose another run."
    )
