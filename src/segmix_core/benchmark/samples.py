"""What a protocol lets a method learn from: pixels and labels of train, no masks."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from segmix_core.benchmark.folder import BenchmarkFolder, LabelledImage, LabelledWindow
from segmix_core.data.samples import Sample
from segmix_core.project.records import TileTable


class FolderSamples:
    """Tiles of a benchmark folder, read once and kept.

    Parameters
    ----------
    folder
        Where the images are.
    items
        Whole images, or windows of them.
    """

    def __init__(
        self,
        folder: BenchmarkFolder,
        items: Sequence[LabelledImage] | Sequence[LabelledWindow],
    ) -> None:
        self._names = [item.name for item in items]
        self._boxes = [
            item.box if isinstance(item, LabelledWindow) else None for item in items
        ]
        self._read = lru_cache(maxsize=None)(folder.read_image)
        self.tiles = _table([item.labels for item in items])

    def read(self, row: int) -> Sample:
        """Return the pixels of a tile; never a mask."""
        image: npt.NDArray[np.uint8] = self._read(self._names[row])
        box = self._boxes[row]
        return Sample(image if box is None else image[box.slices])

    @property
    def longest_edge(self) -> int:
        """Largest height or width of a tile, in pixels."""
        return int(
            max(max(self.read(row).image.shape[:2]) for row in range(len(self._names)))
        )


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
