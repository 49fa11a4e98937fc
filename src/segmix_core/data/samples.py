"""Single tiles before they become batches."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from segmix_core.data.tile_reader import TileReader
from segmix_core.geometry import Box
from segmix_core.project.records import IGNORE_INDEX, UNTOUCHED, TileTable
from segmix_core.slides.slide import RgbArray
from segmix_core.stored_arrays import StoredArray, open_array

MaskArray = npt.NDArray[np.uint8]
MaskReader = Callable[[int, Box], MaskArray]
"""(image id, box in working pixels) -> (h, w) uint8."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One tile before padding.

    Attributes
    ----------
    image
        (h, w, 3) uint8.
    mask
        (h, w) uint8 class index, 255 ignore; None where only tiles are labelled.
    weight
        (h, w) float32 >= 0; only with ``mask``.
    corrected
        (h, w) bool: a person has decided this pixel of ``mask``; None: no pixel.
    """

    image: RgbArray
    mask: MaskArray | None = None
    weight: npt.NDArray[np.float32] | None = None
    corrected: npt.NDArray[np.bool_] | None = None


class SampleSource(Protocol):
    """Tiles by their row in a table."""

    @property
    def tiles(self) -> TileTable:
        """The table."""

    def read(self, row: int) -> Sample:
        """Return a tile; a SlideError says that it is unreadable."""

    def name(self, row: int) -> str:
        """Return what people call a tile."""


class TileSamples:
    """Tiles with their labels only."""

    def __init__(self, tiles: TileTable, reader: TileReader) -> None:
        self.tiles = tiles
        self._reader = reader

    def read(self, row: int) -> Sample:
        """Return the tile in ``row`` of the table.

        Raises
        ------
        SlideError
            If its file cannot be read.
        """
        image_id = int(self.tiles.image_ids[row])
        return Sample(self._reader.read_pixels(image_id, self.tiles.box(row)))

    def name(self, row: int) -> str:
        """Return the file of a tile, and where in it the tile is."""
        return tile_name(self.tiles, self._reader, row)


class SurroundedSamples:
    """Tiles with their labels, and ``margin`` working pixels around each."""

    def __init__(self, tiles: TileTable, reader: TileReader, margin: int) -> None:
        self.tiles = tiles
        self._reader = reader
        self._margin = margin

    def read(self, row: int) -> Sample:
        """Return the tile in ``row`` of the table with what is around it.

        Raises
        ------
        SlideError
            If its file cannot be read.
        """
        image_id, box = int(self.tiles.image_ids[row]), self.tiles.box(row)
        return Sample(self._reader.read_around(image_id, box, self._margin))

    def name(self, row: int) -> str:
        """Return the file of a tile, and where in it the tile is."""
        return tile_name(self.tiles, self._reader, row)


class MaskSamples:
    """Tiles with a mask: pseudo masks, and what people have corrected in them.

    Parameters
    ----------
    tiles, reader
        Which tiles, and their pixels.
    masks
        Pseudo masks: class index, 255 ignore.
    corrections
        Corrected pixels: class index, 255 ignore, 254 untouched. None: no corrections.
    corrected_weight
        Weight of a corrected pixel; a pseudo pixel has 1, an ignored pixel 0.

    Both readers are called in the thread that prepares batches.
    """

    def __init__(
        self,
        tiles: TileTable,
        reader: TileReader,
        masks: MaskReader,
        corrections: MaskReader | None = None,
        *,
        corrected_weight: float = 4.0,
    ) -> None:
        if corrected_weight <= 0:
            raise ValueError(f"Expected a weight > 0, got {corrected_weight}")
        self.tiles = tiles
        self._reader = reader
        self._masks = masks
        self._corrections = corrections
        self._corrected_weight = corrected_weight

    def read(self, row: int) -> Sample:
        """Return the tile in ``row`` of the table with its mask and weights.

        Raises
        ------
        SlideError
            If its file cannot be read.
        """
        image_id = int(self.tiles.image_ids[row])
        image = self._reader.read_pixels(image_id, self.tiles.box(row))
        mask, touched = self.read_mask(row)
        weight = np.where(touched, np.float32(self._corrected_weight), np.float32(1))
        weight[mask == IGNORE_INDEX] = 0
        return Sample(image, mask, weight, touched)

    def name(self, row: int) -> str:
        """Return the file of a tile, and where in it the tile is."""
        return tile_name(self.tiles, self._reader, row)

    def read_mask(self, row: int) -> tuple[MaskArray, npt.NDArray[np.bool_]]:
        """Return (h, w) uint8 mask, and (h, w) bool: corrected; without the image."""
        image_id = int(self.tiles.image_ids[row])
        box = self._reader.working_box(image_id, self.tiles.box(row))
        mask = self._masks(image_id, box).copy()
        touched = np.zeros(mask.shape, np.bool_)
        if self._corrections is not None:
            corrections = self._corrections(image_id, box)
            touched = corrections != UNTOUCHED
            mask[touched] = corrections[touched]
        return mask, touched

    def count_pixels(
        self,
        num_classes: int,
        max_tiles: int = 500,
        *,
        also: npt.NDArray[np.int64] | None = None,
    ) -> npt.NDArray[np.int64]:
        """Return (num_classes + 1,) int64: pixels of background and each class.

        Counted in at most ``max_tiles`` tiles, evenly spread over the table, and in
        the rows ``also`` (n,).
        """
        counts = np.zeros(256, np.int64)
        step = max(1, -(-len(self.tiles) // max_tiles))
        rows = np.arange(0, len(self.tiles), step)
        for row in rows if also is None else np.union1d(rows, also):
            mask, _ = self.read_mask(int(row))
            counts += np.bincount(mask.ravel(), minlength=256)
        return counts[: num_classes + 1]


def tile_name(tiles: TileTable, reader: TileReader, row: int) -> str:
    """Return the file of a tile, and unless the tile is all of it, its place there."""
    image = reader.image(int(tiles.image_ids[row]))
    if tiles.box(row).area == image.height * image.width:
        return image.path.name
    return (
        f"{image.path.name} (row {tiles.rows[row] + 1}, column {tiles.cols[row] + 1})"
    )


class MaskArrays:
    """Masks in a folder with one zarr array an image, named by its id.

    Parameters
    ----------
    folder
        A zarr group, or a plain folder of arrays.
    missing
        Value of pixels outside an array, and of images without one.
    """

    def __init__(self, folder: Path, *, missing: int = IGNORE_INDEX) -> None:
        self._folder = folder
        self._missing = missing
        self._arrays: dict[int, StoredArray | None] = {}

    def __call__(self, image_id: int, box: Box) -> MaskArray:
        """Return (h, w) uint8 of ``box`` on the image's working grid."""
        out = np.full((box.height, box.width), self._missing, np.uint8)
        if image_id not in self._arrays:
            path = self._folder / str(image_id)
            self._arrays[image_id] = open_array(path, 2)
        array = self._arrays[image_id]
        if array is not None:
            inside = box.intersect(Box(0, 0, *array.shape))
            if inside.area:
                out[inside.moved(-box.y, -box.x).slices] = array[inside.slices]
        return out
