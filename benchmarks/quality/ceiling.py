"""Full supervision: the only door to the masks of train images.

The row "full" shows how far the same network gets with every pixel known. Only
the table of methods imports this module; :class:`BenchmarkFolder` refuses.
"""

import numpy as np
import numpy.typing as npt

from benchmarks.quality.folder import (
    BenchmarkFolder,
    LabeledImage,
    LabeledWindow,
    read_pixels,
)
from benchmarks.quality.protocol import Protocol
from benchmarks.quality.samples import FolderSamples
from segmix_core.data.samples import MaskedSamples


class TrainMasks:
    """Masks of the train images of a folder, for the ceiling alone."""

    def __init__(self, folder: BenchmarkFolder) -> None:
        self._folder = folder

    def read(self, item: LabeledImage | LabeledWindow) -> npt.NDArray[np.uint8]:
        """Return the mask of a train image or window, (H, W) uint8 of class ids.

        Raises
        ------
        ProjectError
            If there is no such file.
        """
        mask = read_pixels(self._folder.path / "masks" / item.name)
        return mask[item.box.slices] if isinstance(item, LabeledWindow) else mask


def true_masks(protocol: Protocol) -> list[npt.NDArray[np.uint8]]:
    """Return what the masks tell of each item to learn from.

    (H, W) uint8: label column + 1, 0 for no column, 255 where the mask cannot tell.
    """
    masks = TrainMasks(protocol.folder)
    return [
        protocol.columns_of(item, masks.read(item) > 0)
        for item in protocol.training_items()
    ]


def supervised_samples(protocol: Protocol, samples: FolderSamples) -> MaskedSamples:
    """Return the tiles that all methods learn from, with their true masks."""
    labels = np.ones_like(samples.labels) if protocol.decides_all else None
    return MaskedSamples(samples, true_masks(protocol).__getitem__, labels=labels)
