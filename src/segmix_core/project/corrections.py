"""Corrected pixels: the journal first, then the arrays that follow it."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segmix_core.errors import ProjectError
from segmix_core.geometry import Box
from segmix_core.project import journal
from segmix_core.project.database import Database
from segmix_core.project.mask_store import (
    MaskArray,
    MaskStore,
    changed_box,
    from_mask_key,
    mask_key,
)
from segmix_core.project.records import UNTOUCHED, ImageRecord, TileTable

_FLUSH_EVERY = 256
"""Journal entries after which the arrays are flushed, so that opening stays short."""

ShapeOf = Callable[[int], tuple[int, int]]
"""Working grid (height, width) of an image id."""


class Corrections:
    """The corrected pixels of a project.

    Parameters
    ----------
    database
        Holds the journal; its write lock also guards the arrays, across processes.
    folder
        Where the arrays are.
    shape_of
        Working grid of an image.
    """

    def __init__(self, database: Database, folder: Path, shape_of: ShapeOf) -> None:
        self._database = database
        self._masks = MaskStore(folder)
        self._shape_of = shape_of

    def recover(self) -> None:
        """Replay what a crash or power cut may have kept from the arrays."""
        _, flushed = self._masks.state()
        if flushed < self._last_entry() and not self._database.is_read_only:
            with self._database.transaction() as connection:
                self._follow(connection, self._masks.state()[1])

    def read(self, image_id: int, box: Box) -> MaskArray:
        """Return (h, w) uint8 of ``box`` on the working grid, 254 where untouched."""
        self.catch_up()
        with self._database.reading():
            return self._masks.read(image_id, box)

    def part(
        self, connection: sqlite3.Connection, image_id: int, box: Box, values: MaskArray
    ) -> tuple[journal.Part, Box] | None:
        """Return the change to journal and its box; None if nothing changes."""
        self._follow(connection, self._masks.state()[0])
        before = self._masks.read(image_id, box)
        changed = changed_box(before, values)
        if changed is None:
            return None
        place = changed.moved(box.y, box.x)
        key = mask_key(image_id, place)
        part = journal.Part("mask", key, before[changed.slices], values[changed.slices])
        return part, place

    def catch_up(self) -> None:
        """Let the arrays follow the journal, also what other programs added to it."""
        written, _ = self._masks.state()
        if written < self._last_entry() and not self._database.is_read_only:
            with self._database.transaction() as connection:
                self._follow(connection, self._masks.state()[0])

    def rebuild(self) -> None:
        """Make the arrays anew from the whole journal."""
        with self._database.transaction() as connection:
            fresh = self._masks.sibling()
            self._replay(connection, fresh, 0)
            fresh.flush()
            last = journal.last_entry(connection, "mask")
            fresh.set_state(last, last)
            self._masks.replace_by(fresh)

    def corrected_tiles(
        self, images: Sequence[ImageRecord], tiles: TileTable
    ) -> npt.NDArray[np.int64]:
        """Return the ids, (n,), of the tiles with at least one corrected pixel."""
        self.catch_up()
        scales = {image.id: 1 / image.downsample for image in images}
        found: list[int] = []
        for image_id, touched in self._touched().items():
            for row in np.flatnonzero(tiles.image_ids == image_id):
                box = tiles.box(int(row)).scaled(scales[image_id])
                # Only pixels decide: a change may have been undone.
                if any(box.intersect(other).area for other in touched) and np.any(
                    self._masks.read(image_id, box) != UNTOUCHED
                ):
                    found.append(int(tiles.ids[row]))
        return np.array(sorted(found), np.int64)

    def _touched(self) -> dict[int, list[Box]]:
        boxes: dict[int, list[Box]] = {}
        with self._database.reading() as connection:
            for key in journal.mask_keys(connection):
                image_id, box = from_mask_key(key)
                boxes.setdefault(image_id, []).append(box)
        return boxes

    def close(self) -> None:
        """Bring the arrays to the disk."""
        written, flushed = self._masks.state()
        if written > flushed and not self._database.is_read_only:
            self._masks.flush()
            self._masks.set_state(written, written)

    def _last_entry(self) -> int:
        with self._database.reading() as connection:
            return journal.last_entry(connection, "mask")

    def _follow(self, connection: sqlite3.Connection, after: int) -> None:
        last = journal.last_entry(connection, "mask")
        _, flushed = self._masks.state()
        if last <= after:
            return
        try:
            self._replay(connection, self._masks, after)
            if last - flushed > _FLUSH_EVERY:
                self._masks.flush()
                flushed = last
            self._masks.set_state(last, flushed)
        except OSError as error:
            raise ProjectError.unexpected(
                f"to write mask pixels to {self._masks.folder}",
                f"a disk that refused them ({error})",
                "Free some space; the correction is in the journal and will be "
                "drawn when the project is opened again.",
            ) from error

    def _replay(
        self, connection: sqlite3.Connection, masks: MaskStore, after: int
    ) -> None:
        for key, values in journal.mask_steps(connection, after):
            image_id, box = from_mask_key(key)
            masks.write(image_id, self._shape_of(image_id), box, values)
