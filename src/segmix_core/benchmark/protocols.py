"""The two protocols: what is learned from, and how maps become a foreground.

- P1, subtype: one label an image. The map of the true class, above a threshold that is
  chosen on val by mean IoU, is the foreground.
- P2, patch tags: windows with several tags. The foreground is where a tag other than
  the background tag has the largest map; no threshold.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from segmix_core.benchmark.folder import (
    BenchmarkFolder,
    LabelledImage,
    LabelledWindow,
)
from segmix_core.benchmark.samples import FolderSamples
from segmix_core.errors import ConfigError
from segmix_core.inference.pseudo_rules import Background, PseudoMaskRules
from segmix_core.project.records import BACKGROUND, IGNORE_INDEX
from segmix_core.sections.pseudo_masks import PseudoMaskConfig
from segmix_core.training.metrics import ConfusionMatrix

MapsOf = Callable[[LabelledImage], npt.NDArray[np.float32]]
"""Image -> (C, H, W) maps >= 0 in the size of the image."""
BoolArray = npt.NDArray[np.bool_]
MaskArray = npt.NDArray[np.uint8]
Item = LabelledImage | LabelledWindow
Items = Sequence[LabelledImage] | Sequence[LabelledWindow]

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
        self, image: LabelledImage, maps: npt.NDArray[np.float32], threshold: float
    ) -> BoolArray:
        """Return the foreground (H, W) of an image from its maps."""

    @abstractmethod
    def pseudo_rules(
        self, threshold: float | None, settings: PseudoMaskConfig
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

    @abstractmethod
    def decided_columns(self) -> tuple[int, ...] | None:
        """Return 1 for each column of whose pixels a mask tells in every item.

        None: it tells of the columns that are present in the item.
        """


class SubtypeProtocol(Protocol):
    """P1."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Return the names of the classes."""
        return self.folder.class_names

    @property
    def background(self) -> Background:
        """Pixels of a low score are of no class."""
        return "score"

    def known_labels(self, name: str) -> tuple[int, ...]:
        """Return the image's class as present, the others as absent."""
        return self._labels[name]

    @cached_property
    def _labels(self) -> dict[str, tuple[int, ...]]:
        return {image.name: image.labels for image in self.folder.images}

    def training_items(self) -> Sequence[LabelledImage]:
        """Return whole train images."""
        return self.folder.split("train")

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

    def pseudo_rules(
        self, threshold: float | None, settings: PseudoMaskConfig
    ) -> PseudoMaskRules:
        """Return rules with the threshold as the score of background."""
        return PseudoMaskRules(
            background=self.background,
            background_score=threshold or 0.0,
            normalisation="class",
            margin=settings.margin,
            min_object_px=settings.min_object_px,
            min_hole_px=settings.min_hole_px,
        )

    def as_foreground(self, mask: MaskArray) -> MaskArray:
        """Return every class as foreground."""
        known = (mask != BACKGROUND).astype(np.uint8)
        return np.where(mask == IGNORE_INDEX, np.uint8(IGNORE_INDEX), known)

    def columns_of(self, item: Item, foreground: BoolArray) -> MaskArray:
        """Return the item's class as foreground, no class elsewhere."""
        return np.where(foreground, np.uint8(true_class(item) + 1), np.uint8(0))

    def decided_columns(self) -> tuple[int, ...] | None:
        """Return None: of other classes than the true one no map is asked for."""
        return None


class PatchTagProtocol(Protocol):
    """P2."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Return the names of the tags."""
        return self.folder.tag_names

    @property
    def background(self) -> Background:
        """There is none: it has a tag."""
        return "none"

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

    def training_items(self) -> Sequence[LabelledWindow]:
        """Return the windows of train images."""
        return [w for w in self.folder.windows if w.split == "train"]

    def fit_threshold(self, maps_of: MapsOf) -> float | None:
        """Return None: the largest map wins."""
        return None

    def foreground(
        self, image: LabelledImage, maps: npt.NDArray[np.float32], threshold: float
    ) -> BoolArray:
        """Return where a foreground tag has the largest map."""
        return np.isin(maps.argmax(axis=0), self.foreground_tags)

    def pseudo_rules(
        self, threshold: float | None, settings: PseudoMaskConfig
    ) -> PseudoMaskRules:
        """Return rules by which the largest map wins."""
        return PseudoMaskRules(
            background=self.background,
            normalisation=settings.normalisation,
            margin=settings.margin,
            min_object_px=settings.min_object_px,
            min_hole_px=settings.min_hole_px,
        )

    def as_foreground(self, mask: MaskArray) -> MaskArray:
        """Return the foreground tags as foreground, other tags as background.

        No tag, in windows without any, stays background.
        """
        values = np.array(self.foreground_tags) + 1
        known = np.isin(mask, values).astype(np.uint8)
        return np.where(mask == IGNORE_INDEX, np.uint8(IGNORE_INDEX), known)

    def columns_of(self, item: Item, foreground: BoolArray) -> MaskArray:
        """Return the tag of each side; 255 where several of the item may be meant."""
        inside = self._only_tag(item, is_foreground=True)
        outside = self._only_tag(item, is_foreground=False)
        return np.where(foreground, np.uint8(inside), np.uint8(outside))

    def decided_columns(self) -> tuple[int, ...] | None:
        """Return all: a pixel of one tag is none of the others."""
        return (1,) * len(self.label_names)

    def _only_tag(self, item: Item, *, is_foreground: bool) -> int:
        side = [
            column
            for column in range(len(self.label_names))
            if (column in self.foreground_tags) == is_foreground
        ]
        # A tag may be missing that covers too little of the window to be given.
        found = [column for column in side if item.labels[column] == 1] or side
        return found[0] + 1 if len(found) == 1 else IGNORE_INDEX


def true_class(image: Item) -> int:
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
