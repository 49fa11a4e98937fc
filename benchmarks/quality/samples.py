"""What is learned from: pixels and labels of train, and masks that a method made."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from benchmarks.quality.folder import BenchmarkFolder, LabelledImage, LabelledWindow
from segmix_core.curriculum.patch_sizes import TILE_STEP
from segmix_core.data.samples import MaskArray, Sample
from segmix_core.geometry import next_multiple
from segmix_core.project.records import IGNORE_INDEX, TileTable

T = TypeVar("T", bound=np.generic)


class FolderSamples:
    """Tiles of a benchmark folder, read once and kept.

    Parameters
    ----------
    folder
        Where the images are.
    items
        Whole images, or windows of them.
    normalise_stain
        In the colours that all images get (:mod:`segmix_core.slides.stain`).
    """

    def __init__(
        self,
        folder: BenchmarkFolder,
        items: Sequence[LabelledImage] | Sequence[LabelledWindow],
        *,
        normalise_stain: bool = False,
    ) -> None:
        self._folder, self._items = folder, items
        self._names = [item.name for item in items]
        self._boxes = [
            item.box if isinstance(item, LabelledWindow) else None for item in items
        ]
        self._read = lru_cache(maxsize=None)(
            folder.read_normalised_image if normalise_stain else folder.read_image
        )
        self.tiles = _table([item.labels for item in items])

    def with_normalised_stain(self) -> "FolderSamples":
        """Return the same tiles, in the colours that all images get."""
        return FolderSamples(self._folder, self._items, normalise_stain=True)

    def read(self, row: int) -> Sample:
        """Return the pixels of a tile; never a mask."""
        image: npt.NDArray[np.uint8] = self._read(self._names[row])
        box = self._boxes[row]
        return Sample(image if box is None else image[box.slices])

    def name(self, row: int) -> str:
        """Return the image of a tile, and where in it a window is."""
        box = self._boxes[row]
        place = "" if box is None else f" (x {box.x}, y {box.y})"
        return self._names[row] + place

    def image_name(self, row: int) -> str:
        """Return the name of the image that a tile is a part of."""
        return self._names[row]

    def cut(self, row: int, maps: npt.NDArray[T]) -> npt.NDArray[T]:
        """Return what of maps (C, H, W) of the whole image is a tile's."""
        box = self._boxes[row]
        return maps if box is None else maps[(slice(None), *box.slices)]

    @property
    def longest_edge(self) -> int:
        """Largest height or width of a tile, in pixels."""
        return int(
            max(max(self.read(row).image.shape[:2]) for row in range(len(self._names)))
        )


class MaskedSamples:
    """Tiles of a benchmark folder with a mask each.

    Parameters
    ----------
    samples
        The tiles.
    masks
        (h, w) uint8 of each tile, in order; 255 has no weight.
    labels
        (C,) that all tiles have instead of their own; None: their own.
    """

    def __init__(
        self,
        samples: FolderSamples,
        masks: Sequence[MaskArray],
        labels: Sequence[int] | None = None,
    ) -> None:
        if len(masks) != len(samples.tiles):
            raise ValueError(
                f"Expected {len(samples.tiles)} masks, one a tile, got {len(masks)}"
            )
        self._samples, self._masks, self._labels = samples, masks, labels
        self.tiles = samples.tiles
        if labels is not None:
            shape = (len(masks), len(labels))
            self.tiles = replace(
                samples.tiles, labels=np.broadcast_to(np.array(labels, np.int8), shape)
            )

    def with_normalised_stain(self) -> "MaskedSamples":
        """Return the same tiles and masks, in the colours that all images get."""
        samples = self._samples.with_normalised_stain()
        return MaskedSamples(samples, self._masks, self._labels)

    def read(self, row: int) -> Sample:
        """Return the pixels and the mask of a tile; every known pixel weighs 1."""
        mask = self._masks[row]
        weight = (mask != IGNORE_INDEX).astype(np.float32)
        return Sample(self._samples.read(row).image, mask, weight)

    def name(self, row: int) -> str:
        """Return the image of a tile, and where in it a window is."""
        return self._samples.name(row)

    @property
    def longest_edge(self) -> int:
        """Largest height or width of a tile, in pixels."""
        return self._samples.longest_edge

    def count_pixels(self, num_classes: int) -> npt.NDArray[np.int64]:
        """Return (num_classes + 1,) int64: pixels of background and each class."""
        counts = np.zeros(256, np.int64)
        for mask in self._masks:
            counts += np.bincount(mask.ravel(), minlength=256)
        return counts[: num_classes + 1]


def batch_edge(samples: FolderSamples | MaskedSamples) -> int:
    """Return the edge of batches: the longest of a tile, up to a multiple of 16."""
    return next_multiple(samples.longest_edge, TILE_STEP)


def _table(labels: Sequence[tuple[int, ...]]) -> TileTable:
    count = len(labels)
    zeros = np.zeros(count, np.int64)
    return TileTable(
        ids=np.arange(count),
        image_ids=zeros,
        rows=zeros,
        cols=zeros,
        boxes=np.zeros((count, 4), np.int64),
        labels=np.array(labels, np.int8),
        reviews=np.zeros(count, np.int8),
    )
