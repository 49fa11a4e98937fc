"""Pictures of a run for the viewer, as npz files without pickle.

Content "shuffled", the batch of one step::

    images         (B, H, W, 3) uint8, the shuffled tiles
    tile_ids       (B,) int64, the tile each image started as
    sources        (B, rows, cols) int64, index 0..B-1 of the tile each patch came from
    positions      (B, rows, cols) int64, row * cols + col of the patch in that tile
    patch_size     () int64, pixels
    shuffle_ratio  () float64, 0..1

Content "cam", the fixed preview tiles at the end of an epoch::

    cams           (B, C, h, w) uint8, 0..255
    tile_ids       (B,) int64
"""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segmix_core.errors import JobError
from segmix_core.files import write_atomically
from segmix_core.stored_arrays import read_table

KEPT = 8
"""Number of previews of each content kept on disk."""

Preview = dict[str, npt.NDArray[Any]]


def save_preview(
    folder: Path, step: int, content: str, arrays: dict[str, npt.ArrayLike]
) -> Path:
    """Write a preview and remove the oldest ones of the same content.

    Raises
    ------
    TypeError
        If an array holds Python objects.
    OSError
        From the file system; no partial file remains.
    """
    ready = {name: np.asarray(values) for name, values in arrays.items()}
    for name, values in ready.items():
        if values.dtype.hasobject:
            raise TypeError(f"{name!r} contains Python objects instead of numbers")
    folder.mkdir(exist_ok=True)
    path = folder / f"{content}_{step:08d}.npz"
    write_atomically(path, lambda file: np.savez(file, **ready))  # type: ignore[arg-type]
    for old in sorted(folder.glob(f"{content}_*.npz"))[:-KEPT]:
        # Windows keeps a file while the viewer reads it; it is removed next time.
        with contextlib.suppress(OSError):
            old.unlink()
    return path


def load_preview(path: Path) -> Preview:
    """Read a preview; the arrays are described at the top of this module.

    Raises
    ------
    JobError
        If the file is gone (only the newest are kept) or is not a preview.
    """
    try:
        preview = read_table(path)
    except FileNotFoundError as error:
        raise JobError(
            f"The preview {path.name} no longer exists.", "Wait for the next one."
        ) from error
    if not _is_sound(preview):
        raise JobError(f"{path} is not a valid preview.", "Wait for the next one.")
    return preview


def _is_sound(preview: Preview) -> bool:
    kinds = {name: (v.dtype.kind, v.ndim) for name, v in preview.items()}
    if "cams" in preview:
        wanted = {"cams": ("u", 4), "tile_ids": ("i", 1)}
        first = preview["cams"]
    else:
        wanted = {
            "images": ("u", 4),
            "tile_ids": ("i", 1),
            "sources": ("i", 3),
            "positions": ("i", 3),
            "patch_size": ("i", 0),
            "shuffle_ratio": ("f", 0),
        }
        first = preview.get("images", np.zeros(0))
    if any(kinds.get(name) != kind for name, kind in wanted.items()):
        return False
    if first.dtype.itemsize != 1 or len(first) != len(preview["tile_ids"]):
        return False
    return "cams" in preview or _is_shuffled_batch(preview)


def _is_shuffled_batch(preview: Preview) -> bool:
    images, sources = preview["images"], preview["sources"]
    positions = preview["positions"]
    cells = int(np.prod(sources.shape[1:]))
    return bool(
        images.shape[3] == 3
        and len(sources) == len(images)
        and positions.shape == sources.shape
        and ((sources >= 0) & (sources < len(images))).all()
        and ((positions >= 0) & (positions < cells)).all()
        and preview["patch_size"] > 0
    )
