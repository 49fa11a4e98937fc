"""What is learned from: pixels and labels of train."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from benchmarks.quality.folder import BenchmarkFolder, LabeledImage, LabeledWindow
from segmix_core.curriculum.patch_sizes import TILE_STEP
from segmix_core.data.samples import Sample
from segmix_core.geometry import next_multiple

T = TypeVar("T", bound=np.generic)


class FolderSamples:
    """Tiles of a benchmark folder, read once and kept.

    Parameters
    ----------
    folder
        Where the images are.
    items
        Whole images, or windows of them.
    normalize_stain
        In the colors that all images get (:mod:`segmix_core.slides.stain`).
    """

    def __init__(
        self,
        folder: BenchmarkFolder,
        items: Sequence[LabeledImage] | Sequence[LabeledWindow],
        *,
        normalize_stain: bool = False,
    ) -> None:
        self._folder, self._items = folder, items
        self._names = [item.name for item in items]
        self._boxes = [
            item.box if isinstance(item, LabeledWindow) else None for item in items
        ]
        self._read = lru_cache(maxsize=None)(
            folder.read_normalized_image if normalize_stain else folder.read_image
        )
        self.ids = np.arange(len(items))
        self.labels = np.array([item.labels for item in items], np.int8)

    def with_normalized_stain(self) -> "FolderSamples":
        """Return the same tiles, in the colors that all images get."""
        return FolderSamples(self._folder, self._items, normalize_stain=True)

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


def batch_edge(samples: FolderSamples) -> int:
    """Return the edge of batches: the longest of a tile, up to a multiple of 16."""
    return next_multiple(samples.longest_edge, TILE_STEP)
