"""Result files in run folders, for other stages, the viewer and users.

- ``masks.zarr``: one array per image, named by its id, (H, W) uint8 on the working
  grid: 0 background, 1..C classes, 255 outside the tiles and where the class is
  uncertain.
- ``cams.zarr``: array "cams", (N, C, h, w) uint8: the map of each tile and class,
  divided by its own maximum, times 255. Multiply by ``scales`` / 255, (N, C) float32 in
  ``tiles.npz``, to restore the maps on one scale for all classes and tiles.
- ``tiles.npz``: columns about the N tiles, ``tile_ids`` among them. An unreadable
  tile has the id -1. ``class_names`` (C,) are the names of the classes at that time.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import ZstdCodec

from segmix_core.errors import JobError
from segmix_core.files import write_atomically, write_json
from segmix_core.geometry import Box, read_inside
from segmix_core.stored_arrays import StoredArray, Table, open_array, read_table

MASK_CHUNK = 512
_OUTSIDE = 255
_MOST_STRIDE = 4096
_GROUP = {"attributes": {}, "zarr_format": 3, "node_type": "group"}
# Column -> NumPy kinds and number of dimensions; the first dimension is the tile.
_TILE_COLUMNS = {
    "tile_ids": ("iu", (1,)),
    "doubt": ("f", (1,)),
    "probabilities": ("f", (2,)),
    "scales": ("f", (2,)),
    "valid": ("iu", (2,)),
}


def create_mask(run: Path, image_id: int, shape: tuple[int, int]) -> zarr.Array[Any]:
    """Create the mask of an image in a run, 255 everywhere; replaces an old one."""
    return zarr.create_array(
        store=str(_clear(run / "masks.zarr" / str(image_id))),
        shape=shape,
        chunks=(min(MASK_CHUNK, shape[0]), min(MASK_CHUNK, shape[1])),
        dtype="uint8",
        fill_value=_OUTSIDE,
        compressors=ZstdCodec(level=3),
        zarr_format=3,
    )


def remove_mask(run: Path, image_id: int) -> None:
    """Remove the mask of an image from a run, if it has one."""
    shutil.rmtree(run / "masks.zarr" / str(image_id), ignore_errors=True)


def open_mask(
    run: Path, image_id: int, shape: tuple[int, int] | None = None
) -> StoredArray | None:
    """Return the mask of an image; None if the run has none.

    Raises
    ------
    JobError
        If it is damaged, or ``shape`` is given and differs.
    """
    mask = open_array(run / "masks.zarr" / str(image_id), 2)
    if mask is not None and shape is not None and mask.shape != shape:
        raise JobError(
            f"The mask of image {image_id} in {run.name} is {mask.shape[1]} x "
            f"{mask.shape[0]} pixels, but the image is {shape[1]} x {shape[0]}.",
            "Make the masks of this image again.",
        )
    return mask


def mask_ids(run: Path) -> tuple[int, ...]:
    """Return the ids of the images that the run has masks of."""
    try:
        names = [path.name for path in (run / "masks.zarr").iterdir()]
    except OSError:
        return ()
    ids = (int(name) for name in names if name.isdecimal() and len(name) < 19)
    return tuple(
        sorted(i for i in ids if (run / "masks.zarr" / str(i) / "zarr.json").is_file())
    )


def read_mask(run: Path, image_id: int, box: Box) -> npt.NDArray[np.uint8]:
    """Read a part of the mask of an image, as :class:`RunMasks` does."""
    return RunMasks(run)(image_id, box)


class RunMasks:
    """The masks of a run, each opened once."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._masks: dict[int, StoredArray | None] = {}

    def __call__(self, image_id: int, box: Box) -> npt.NDArray[np.uint8]:
        """Return a part of an image's mask, (box.height, box.width) uint8.

        255 outside the image and where the run has no mask.
        """
        if image_id not in self._masks:
            self._masks[image_id] = open_mask(self._run, image_id)
        mask = self._masks[image_id]
        if mask is None:
            return np.full((box.height, box.width), _OUTSIDE, np.uint8)
        shape = mask.shape[0], mask.shape[1]
        return read_inside(box, shape, lambda part: mask[part.slices], _OUTSIDE)


def create_cams(
    run: Path, count: int, num_classes: int, shape: tuple[int, int]
) -> zarr.Array[Any]:
    """Create the array of maps for ``count`` tiles of ``shape`` CAM pixels each."""
    return zarr.create_array(
        store=str(_clear(run / "cams.zarr" / "cams")),
        shape=(count, num_classes, *shape),
        chunks=(min(count, 256), num_classes, *shape),
        dtype="uint8",
        compressors=ZstdCodec(level=3),
        zarr_format=3,
    )


def _clear(array: Path) -> Path:
    """Create the group of an array, and remove an existing array."""
    group = array.parent
    for place in (group, array):
        if place.is_symlink():
            raise JobError(
                f"{place} is a symbolic link.", "Remove it, or start a new run."
            )
    group.mkdir(parents=True, exist_ok=True)
    write_json(group / "zarr.json", _GROUP)
    if array.exists():
        shutil.rmtree(array)
    return array


def open_cams(run: Path) -> StoredArray:
    """Return the maps of a "cams" run.

    Raises
    ------
    JobError
        If the run has none, or they are damaged.
    """
    cams = open_array(run / "cams.zarr" / "cams", 4)
    if cams is None:
        raise _missing("class activation maps", run, "Run 'segmix cams' again")
    return cams


def save_tiles(run: Path, columns: Mapping[str, npt.ArrayLike]) -> None:
    """Store columns about the tiles in ``tile_ids``."""
    write_atomically(
        run / "tiles.npz",
        lambda file: np.savez(file, allow_pickle=False, **dict(columns)),
    )


def load_tiles(run: Path) -> Table:
    """Return the columns that :func:`save_tiles` stored.

    Raises
    ------
    JobError
        If the run has none, or they are damaged.
    """
    path = run / "tiles.npz"
    try:
        columns = read_table(path)
    except FileNotFoundError as error:
        raise _missing("table of tiles", run, "Run its stage again") from error
    faults = [name for name in columns if not _is_sound(columns, name)]
    if "tile_ids" not in columns or faults:
        what = f"an invalid column {faults[0]}" if faults else "no column tile_ids"
        raise JobError(f"{path} has {what}.", "Make it again, or choose another run.")
    return columns


def _is_sound(columns: Table, name: str) -> bool:
    values = columns[name]
    if name == "stride":
        is_whole = values.dtype.kind in "iu" and values.ndim == 0
        return is_whole and 1 <= int(values) <= _MOST_STRIDE
    if name == "class_names":
        return values.dtype.kind == "U" and values.ndim == 1
    if name == "shared_foreground":
        return values.dtype.kind == "b" and values.ndim == 0
    if name not in _TILE_COLUMNS:
        return True
    kinds, dimensions = _TILE_COLUMNS[name]
    # NumPy cannot tell the type of empty columns.
    is_kind = values.dtype.kind in kinds or values.size == 0
    if not is_kind or values.ndim not in dimensions:
        return False
    ids = columns.get("tile_ids", values)
    return len(values) == ids.size and bool(np.isfinite(values).all())


def _missing(what: str, run: Path, hint: str) -> JobError:
    return JobError(
        f"The run {run.name} has no {what}.", f"{hint}, or choose another run."
    )
