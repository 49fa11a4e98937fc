"""Single tiles before they become batches."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from segmix_core.data.tile_reader import TileReader
from segmix_core.geometry import Box
from segmix_core.project.records import IGNORE_INDEX, UNTOUCHED, TileTable
from segmix_core.slides.slide import RgbArray

MaskArray = npt.NDArray[np.uint8]
MaskReader = Callable[[int, Box], MaskArray]
"""(image id, box in working pixels) -> (h, w) uint8."""
MaskOfRow = Callable[[int], MaskArray]
"""Row of a tile -> (h, w) uint8."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One tile before padding.

    Attributes
    ----------
    image
        (h, w, 3) uint8.
    mask
        (h, w) uint8 class index, 255 ignore; None where only tiles are labeled.
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
    """Tiles to learn from, by their row."""

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        """(N,): what tells a tile from the others."""

    @property
    def labels(self) -> npt.NDArray[np.int8]:
        """(N, C) of -1 unknown, 0 absent, 1 present."""

    def read(self, row: int) -> Sample:
        """Return a tile; a SlideError says that it is unreadable."""

    def name(self, row: int) -> str:
        """Return what people call a tile."""


class TileSamples:
    """Tiles of a project with their labels only.

    Parameters
    ----------
    tiles, reader
        Which tiles, and their pixels.
    margin
        Working pixels around each tile that are read with it.
    """

    def __init__(self, tiles: TileTable, reader: TileReader, margin: int = 0) -> None:
        self.tiles = tiles
        self._reader = reader
        self._margin = margin

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        """(N,): ids of the tiles in the project."""
        return self.tiles.ids

    @property
    def labels(self) -> npt.NDArray[np.int8]:
        """(N, C) of -1 unknown, 0 absent, 1 present."""
        return self.tiles.labels

    def read(self, row: int) -> Sample:
        """Return the tile in ``row`` of the table with its margin.

        Raises
        ------
        SlideError
            If its file cannot be read.
        """
        image_id, box = int(self.tiles.image_ids[row]), self.tiles.box(row)
        if self._margin:
            return Sample(self._reader.read_around(image_id, box, self._margin))
        return Sample(self._reader.read_pixels(image_id, box))

    def name(self, row: int) -> str:
        """Return the file of a tile, and where in it the tile is."""
        return tile_name(self.tiles, self._reader, row)

    def masks(self, masks: MaskReader) -> MaskOfRow:
        """Return a function that reads the part of image masks that is a tile's."""

        def read(row: int) -> MaskArray:
            image_id = int(self.tiles.image_ids[row])
            box = self._reader.working_box(image_id, self.tiles.box(row))
            return masks(image_id, box)

        return read


class ArraySamples:
    """Images in memory with their labels.

    Parameters
    ----------
    images
        N arrays (h, w, 3) uint8.
    labels
        (N, C) of -1 unknown, 0 absent, 1 present.
    """

    def __init__(
        self, images: Sequence[RgbArray], labels: npt.NDArray[np.int8]
    ) -> None:
        if len(images) != len(labels):
            raise ValueError(f"Expected {len(images)} labels, got {len(labels)}")
        self.ids = np.arange(len(images), dtype=np.int64)
        self.labels = labels
        self._images = images

    def read(self, row: int) -> Sample:
        """Return the image in ``row``."""
        return Sample(self._images[row])

    def name(self, row: int) -> str:
        """Return its number, from 1."""
        return f"image {row + 1}"


class MaskedSamples:
    """Tiles with a mask: pseudo masks, and what people have corrected in them.

    Parameters
    ----------
    samples
        The tiles.
    masks
        Mask of a row, (h, w) uint8 class index, 255 ignore; None: nothing is known of
        the tile.
    corrections
        Corrected pixels of a row: class index, 255 ignore, 254 untouched. None: no
        corrections.
    corrected_weight
        Weight of a corrected pixel; a pseudo pixel has 1, an ignored pixel 0.
    labels
        (N, C) instead of those of ``samples``.

    Both functions are called in the thread that prepares batches.
    """

    def __init__(
        self,
        samples: SampleSource,
        masks: Callable[[int], MaskArray | None],
        corrections: MaskOfRow | None = None,
        *,
        corrected_weight: float = 4.0,
        labels: npt.NDArray[np.int8] | None = None,
    ) -> None:
        if corrected_weight <= 0:
            raise ValueError(f"Expected a weight > 0, got {corrected_weight}")
        self.ids = samples.ids
        self.labels = samples.labels if labels is None else labels
        if len(self.labels) != len(self.ids):
            raise ValueError(
                f"Expected labels of {len(self.ids)} tiles, got {len(self.labels)}"
            )
        self._samples = samples
        self._masks = masks
        self._corrections = corrections
        self._corrected_weight = corrected_weight

    def read(self, row: int) -> Sample:
        """Return the tile in ``row`` with its mask and weights.

        Raises
        ------
        SlideError
            If its file cannot be read.
        """
        image = self._samples.read(row).image
        mask, touched = self.read_mask(row)
        if mask is None:
            mask = np.full(image.shape[:2], IGNORE_INDEX, np.uint8)
        weight = (mask != IGNORE_INDEX).astype(np.float32)
        if touched is not None:
            weight[touched] *= self._corrected_weight
        return Sample(image, mask, weight, touched)

    def name(self, row: int) -> str:
        """Return what people call a tile."""
        return self._samples.name(row)

    def read_mask(
        self, row: int
    ) -> tuple[MaskArray | None, npt.NDArray[np.bool_] | None]:
        """Return (h, w) uint8 mask, and (h, w) bool: corrected; without the image.

        The first is None where nothing is known of a tile, the second where nothing is
        corrected in any tile.
        """
        mask = self._masks(row)
        if self._corrections is None:
            return mask, None
        corrections = self._corrections(row)
        touched = corrections != UNTOUCHED
        if mask is None:
            mask = np.full(corrections.shape, IGNORE_INDEX, np.uint8)
        return np.where(touched, corrections, mask), touched

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
        step = max(1, -(-len(self.ids) // max_tiles))
        rows = np.arange(0, len(self.ids), step)
        for row in rows if also is None else np.union1d(rows, also):
            mask, _ = self.read_mask(int(row))
            if mask is not None:
                counts += np.bincount(mask.ravel(), minlength=256)
        return counts[: num_classes + 1]


class PackedMasks:
    """Masks in memory, compressed: those of 100,000 tiles take less than a slide."""

    def __init__(self) -> None:
        self._packed: list[tuple[bytes, tuple[int, ...]] | None] = []

    def __len__(self) -> int:
        return len(self._packed)

    def add(self, mask: MaskArray | None) -> None:
        """Keep the mask (h, w) of the next row; None: nothing is known of it."""
        packed = None
        if mask is not None:
            packed = zlib.compress(mask.tobytes(), level=1), mask.shape
        self._packed.append(packed)

    def __call__(self, row: int) -> MaskArray | None:
        """Return the mask (h, w) of a row."""
        packed = self._packed[row]
        if packed is None:
            return None
        content, shape = packed
        return np.frombuffer(zlib.decompress(content), np.uint8).reshape(shape)


def tile_name(tiles: TileTable, reader: TileReader, row: int) -> str:
    """Return the file of a tile, and unless the tile is all of it, its place there."""
    image = reader.image(int(tiles.image_ids[row]))
    if tiles.box(row).area == image.height * image.width:
        return image.path.name
    return (
        f"{image.path.name} (row {tiles.rows[row] + 1}, column {tiles.cols[row] + 1})"
    )
