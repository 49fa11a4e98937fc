"""What a protocol decides: what is learned from, how maps become a foreground."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.quality.folder import (
    BenchmarkFolder,
    LabeledImage,
    LabeledWindow,
)
from benchmarks.quality.samples import FolderSamples
from segmix_core.errors import ConfigError
from segmix_core.inference.pseudo_rules import Background, PseudoMaskRules
from segmix_core.settings import PseudoMaskSettings

MapsOf = Callable[[LabeledImage], npt.NDArray[np.float32]]
"""Image -> (C, H, W) maps >= 0 in the size of the image."""
BoolArray = npt.NDArray[np.bool_]
MaskArray = npt.NDArray[np.uint8]
Item = LabeledImage | LabeledWindow
Items = Sequence[LabeledImage] | Sequence[LabeledWindow]


class Protocol(ABC):
    """How a benchmark folder is used."""

    def __init__(self, folder: BenchmarkFolder) -> None:
        self.folder = folder

    @property
    @abstractmethod
    def label_names(self) -> tuple[str, ...]:
        """Names of the label columns (classes or tags)."""

    @property
    @abstractmethod
    def background(self) -> Background:
        """Rule of pseudo masks for pixels of no class."""

    def known_labels(self, name: str) -> tuple[int, ...]:
        """Return (C,) -1 (unknown), 0 or 1: what is known of an image to score."""
        return (-1,) * len(self.label_names)

    @abstractmethod
    def training_items(self) -> Items:
        """Return what may be learned from: images or windows of train."""

    def training_samples(self) -> FolderSamples:
        """Return the pixels and labels of :meth:`training_items`."""
        return FolderSamples(self.folder, self.training_items())

    @abstractmethod
    def fit_threshold(self, maps_of: MapsOf) -> float | None:
        """Return the threshold chosen on val; None where there is none to choose."""

    @abstractmethod
    def foreground(
        self, image: LabeledImage, maps: npt.NDArray[np.float32], threshold: float
    ) -> BoolArray:
        """Return the foreground (H, W) of an image from its maps."""

    @abstractmethod
    def pseudo_rules(
        self, threshold: float | None, settings: PseudoMaskSettings
    ) -> PseudoMaskRules:
        """Return how maps of train become pseudo masks, as :meth:`foreground` does.

        Margin, smallest object and smallest hole are those of the settings, in pixels:
        images of a benchmark have no pixel size.
        """

    @abstractmethod
    def as_foreground(self, mask: MaskArray) -> MaskArray:
        """Return a mask of label columns + 1 as 0 background, 1 foreground, 255."""

    @abstractmethod
    def columns_of(self, item: Item, foreground: BoolArray) -> MaskArray:
        """Return what a foreground (H, W) tells: label column + 1, 0 none, 255."""

    @property
    @abstractmethod
    def decides_all(self) -> bool:
        """Whether a mask tells of all columns in every item.

        Else it tells of the columns that are present in the item.
        """


def true_class(image: Item) -> int:
    """Return the column of an image's only class.

    Raises
    ------
    ConfigError
        If it has none or several.
    """
    if sum(image.labels) != 1:
        raise ConfigError(
            f"Protocol p1 needs one class per image, but {image.name} has "
            f"{sum(image.labels)}.",
            "Use protocol p2 for images with several classes.",
        )
    return image.labels.index(1)


def classes_of(images: Sequence[LabeledImage], names: Sequence[str]) -> list[str]:
    """Return the group in which each image is scored: its class, if it has just one."""
    return [
        names[image.labels.index(1)] if sum(image.labels) == 1 else "several"
        for image in images
    ]
