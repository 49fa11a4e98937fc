"""The two protocols: what is learned from, and how maps become a foreground.

- P1, subtype: one label an image. The map of the true class, above a threshold that is
  chosen on val by mean IoU, is the foreground.
- P2, patch tags: windows with several tags. The foreground is where a tag other than
  the background tag has the largest map; no threshold.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from segmix_core.benchmark.folder import BenchmarkFolder, LabelledImage
from segmix_core.benchmark.samples import FolderSamples
from segmix_core.errors import ConfigError
from segmix_core.training.metrics import ConfusionMatrix

MapsOf = Callable[[LabelledImage], npt.NDArray[np.float32]]
"""Image -> (C, H, W) maps >= 0 in the size of the image."""
BoolArray = npt.NDArray[np.bool_]

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 19))
"""Candidates for the share of a map's maximum that is foreground."""
BACKGROUND_TAGS = ("non", "no_", "background", "other", "rest")
"""Beginnings of the names of tags that mean "no class here"."""


class Protocol(ABC):
    """How a benchmark folder is used."""

    def __init__(self, folder: BenchmarkFolder) -> None:
        self.folder = folder

    @property
    @abstractmethod
    def label_names(self) -> tuple[str, ...]:
        """Names of the label columns (classes or tags)."""

    @abstractmethod
    def training_samples(self) -> FolderSamples:
        """Return what may be learned from."""

    @abstractmethod
    def fit_threshold(self, maps_of: MapsOf) -> float | None:
        """Return the threshold chosen on val; None where there is none to choose."""

    @abstractmethod
    def foreground(
        self, image: LabelledImage, maps: npt.NDArray[np.float32], threshold: float
    ) -> BoolArray:
        """Return the foreground (H, W) of an image from its maps."""


class SubtypeProtocol(Protocol):
    """P1."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Return the names of the classes."""
        return self.folder.class_names

    def training_samples(self) -> FolderSamples:
        """Return whole train images."""
        return FolderSamples(self.folder, self.folder.split("train"))

    def fit_threshold(self, maps_of: MapsOf) -> float | None:
        """Return the threshold with the highest mean IoU on val, averaged by class."""
        matrices = {
            threshold: [ConfusionMatrix(1) for _ in self.label_names]
            for threshold in THRESHOLDS
        }
        for image in self.folder.split("val"):
            maps, truth = maps_of(image), self.folder.read_mask(image) > 0
            for threshold, by_class in matrices.items():
                found = self.foreground(image, maps, threshold)
                by_class[true_class(image)].update(
                    truth.astype(np.uint8), found.astype(np.uint8)
                )
        return max(
            THRESHOLDS,
            key=lambda threshold: np.nanmean(
                [matrix.mean_iou for matrix in matrices[threshold]]
            ),
        )

    def foreground(
        self, image: LabelledImage, maps: npt.NDArray[np.float32], threshold: float
    ) -> BoolArray:
        """Return where the true class has at least ``threshold`` of its maximum."""
        own = maps[true_class(image)]
        return np.asarray((own >= threshold * own.max()) & (own > 0))


class PatchTagProtocol(Protocol):
    """P2."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Return the names of the tags."""
        return self.folder.tag_names

    @property
    def foreground_tags(self) -> tuple[int, ...]:
        """Columns of the tags that mean foreground.

        Raises
        ------
        ConfigError
            If all tags or none are background tags.
        """
        names = self.folder.tag_names
        found = tuple(
            column
            for column, name in enumerate(names)
            if not name.startswith(BACKGROUND_TAGS)
        )
        if not 0 < len(found) < len(names):
            raise ConfigError(
                "tags for foreground and for background in patches.csv",
                f"the tags {', '.join(names)}",
                "Let the name of the background's tag begin with 'non' or "
                "'background', such as has_nongland.",
            )
        return found

    def training_samples(self) -> FolderSamples:
        """Return the windows of train images."""
        windows = [w for w in self.folder.windows if w.split == "train"]
        return FolderSamples(self.folder, windows)

    def fit_threshold(self, maps_of: MapsOf) -> float | None:
        """Return None: the largest map wins."""
        return None

    def foreground(
        self, image: LabelledImage, maps: npt.NDArray[np.float32], threshold: float
    ) -> BoolArray:
        """Return where a foreground tag has the largest map."""
        return np.isin(maps.argmax(axis=0), self.foreground_tags)


def true_class(image: LabelledImage) -> int:
    """Return the column of an image's only class.

    Raises
    ------
    ConfigError
        If it has none or several.
    """
    if sum(image.labels) != 1:
        raise ConfigError(
            "one class an image for protocol p1",
            f"{sum(image.labels)} in {image.name}",
            "Use protocol p2 for images with several classes.",
        )
    return image.labels.index(1)


PROTOCOLS: dict[str, type[Protocol]] = {"p1": SubtypeProtocol, "p2": PatchTagProtocol}


def make_protocol(name: str, folder: BenchmarkFolder) -> Protocol:
    """Return a protocol by name.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in PROTOCOLS:
        raise ConfigError(
            f"one of the protocols {', '.join(PROTOCOLS)}",
            repr(name),
            "Choose one of them.",
        )
    return PROTOCOLS[name](folder)


def classes_of(images: Sequence[LabelledImage], names: Sequence[str]) -> list[str]:
    """Return the group in which each image is scored: its class, if it has just one."""
    return [
        names[image.labels.index(1)] if sum(image.labels) == 1 else "several"
        for image in images
    ]
