"""P1, subtype: one label an image.

The map of the true class, above a threshold that is chosen on val by mean IoU, is the
foreground.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from benchmarks.quality.folder import LabeledImage
from benchmarks.quality.protocol import (
    BoolArray,
    Item,
    MapsOf,
    MaskArray,
    Protocol,
    true_class,
)
from segmix_core.inference.pseudo_rules import Background, PseudoMaskRules
from segmix_core.project.records import BACKGROUND, IGNORE_INDEX
from segmix_core.settings import PseudoMaskSettings
from segmix_core.training.metrics import ConfusionMatrix

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 19))
"""Candidates for the share of a map's maximum that is foreground."""


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

    def training_items(self) -> Sequence[LabeledImage]:
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
        self, image: LabeledImage, maps: npt.NDArray[np.float32], threshold: float
    ) -> BoolArray:
        """Return where the true class has at least ``threshold`` of its maximum."""
        own = maps[true_class(image)]
        return np.asarray((own >= threshold * own.max()) & (own > 0))

    def pseudo_rules(
        self, threshold: float | None, settings: PseudoMaskSettings
    ) -> PseudoMaskRules:
        """Return rules with the threshold as the score of background."""
        return PseudoMaskRules(
            background=self.background,
            background_score=threshold or 0.0,
            normalization="class",
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

    @property
    def decides_all(self) -> bool:
        """It does not: of other classes than the true one no map is asked for."""
        return False
