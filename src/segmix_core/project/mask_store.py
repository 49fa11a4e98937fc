"""Corrected mask pixels as chunked arrays beside the project file.

The journal is the truth; the arrays are a fast copy of it. ``state.json`` says up to
which journal entry they are written, and up to which they are known to be on disk.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from segmix_core.files import read_json
from segmix_core.geometry import Box
from segmix_core.project.records import UNTOUCHED

CHUNK_PX = 512
MaskArray = npt.NDArray[np.uint8]


class MaskStore:
    """The arrays in ``folder``: one per corrected image, named by its id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._arrays: dict[int, Any] = {}
        self._unflushed: set[int] = set()

    def read(self, image_id: int, box: Box) -> MaskArray:
        """Return (height, width) uint8 of ``box`` on the working grid.

        254 where nobody has corrected, outside the image as well.
        """
        out = np.full((box.height, box.width), UNTOUCHED, np.uint8)
        array = self._opened(image_id)
        if array is not None:
            inside = box.intersect(Box(0, 0, *array.shape))
            if inside.area:
                target = inside.moved(-box.y, -box.x).slices
                out[target] = array[inside.slices]
        return out

    def write(
        self, image_id: int, shape: tuple[int, int], box: Box, values: MaskArray
    ) -> None:
        """Set the pixels of ``box``; ``shape`` is the working grid of the image."""
        array = self._opened(image_id)
        if array is None:
            import zarr  # Slow to import, and most projects have no corrections yet.

            array = zarr.create_array(
                store=str(self._path(image_id)),
                shape=shape,
                chunks=(CHUNK_PX, CHUNK_PX),
                dtype="uint8",
                fill_value=UNTOUCHED,
            )
            self._arrays[image_id] = array
        array[box.slices] = values
        self._unflushed.add(image_id)

    def state(self) -> tuple[int, int]:
        """Return the journal ids (written, on disk) of the arrays; 0, 0 without."""
        try:
            content = read_json(self.folder / "state.json")
            return int(content["written"]), int(content["flushed"])
        except (OSError, ValueError, KeyError, TypeError):
            # Missing or damaged: everything is replayed, which is always right.
            return 0, 0

    def set_state(self, written: int, flushed: int) -> None:
        """Remember how far the arrays follow the journal."""
        self.folder.mkdir(exist_ok=True)
        # Not flushed, to be fast: a power cut leaves an older or no state, and more
        # of the journal is replayed than needed.
        temporary = self.folder / "state.json.tmp"
        content = {"written": written, "flushed": flushed}
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(self.folder / "state.json")

    def flush(self) -> None:
        """Bring everything written so far to the disk, power cuts included."""
        for image_id in self._unflushed:
            for file in self._path(image_id).rglob("*"):
                if file.is_file():
                    with file.open("rb+") as opened:
                        os.fsync(opened.fileno())
        self._unflushed.clear()

    def sibling(self) -> "MaskStore":
        """Return an empty store to be filled and then to take this one's place."""
        folder = self.folder.with_name(f"{self.folder.name}.new")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return MaskStore(folder)

    def replace_by(self, other: "MaskStore") -> None:
        """Put the arrays of ``other`` in the place of these."""
        old = self.folder.with_name(f"{self.folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if self.folder.exists():
            self.folder.rename(old)
        # A crash here leaves no folder, and the next opening replays the journal.
        other.folder.rename(self.folder)
        shutil.rmtree(old, ignore_errors=True)
        self._arrays.clear()
        self._unflushed.clear()

    def _path(self, image_id: int) -> Path:
        return self.folder / str(image_id)

    def _opened(self, image_id: int) -> Any:
        if (
            image_id not in self._arrays
            and (self._path(image_id) / "zarr.json").exists()
        ):
            import zarr

            self._arrays[image_id] = zarr.open_array(
                store=str(self._path(image_id)), mode="r+"
            )
        return self._arrays.get(image_id)


def changed_box(before: MaskArray, after: MaskArray) -> Box | None:
    """Return the smallest box, relative to the arrays, that holds all differences."""
    different = before != after
    rows, cols = np.flatnonzero(different.any(1)), np.flatnonzero(different.any(0))
    if not rows.size:
        return None
    y, x = int(rows[0]), int(cols[0])
    return Box(y, x, int(rows[-1]) - y + 1, int(cols[-1]) - x + 1)


def mask_key(image_id: int, box: Box) -> npt.NDArray[np.int64]:
    """Return the journal's key of a mask change: image id, y, x, height, width."""
    return np.array([image_id, box.y, box.x, box.height, box.width], np.int64)


def from_mask_key(key: npt.NDArray[np.int64]) -> tuple[int, Box]:
    """Return image id and box of a key."""
    image_id, y, x, height, width = cast("list[int]", key.tolist())
    return image_id, Box(y, x, height, width)
