"""Scores of a method on the images with masks."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segmix_core.training.metrics import ConfusionMatrix

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RegionScores:
    """Foreground against background, all in 0..1.

    ``mean_iou`` is the mean of the two IoUs of one confusion matrix over all pixels;
    ``image_mean_iou`` is the mean of the same number taken image by image.
    """

    mean_iou: float
    foreground_iou: float
    background_iou: float
    dice: float
    image_mean_iou: float

    def to_json(self) -> dict[str, float | None]:
        """Return the scores as JSON values: null where there are no such pixels."""
        scores: dict[str, float] = asdict(self)
        return {n: None if math.isnan(v) else v for n, v in scores.items()}


@dataclass(frozen=True, slots=True)
class PixelCounts:
    """Pixels of one image: true and false, positive (foreground) and negative."""

    tp: int
    fp: int
    fn: int
    tn: int


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores over all images, over those of each class, and what they come from.

    ``counts`` are in the order of the images.
    """

    all: RegionScores
    by_class: dict[str, RegionScores]
    counts: tuple[PixelCounts, ...]

    @property
    def class_mean_iou(self) -> float:
        """Mean over the classes of their ``mean_iou``."""
        return float(np.mean([entry.mean_iou for entry in self.by_class.values()]))

    def to_json(self) -> dict[str, Any]:
        """Return the scores as JSON values."""
        return {
            **self.all.to_json(),
            "class_mean_iou": self.class_mean_iou,
            "by_class": {n: entry.to_json() for n, entry in self.by_class.items()},
            "counts": {
                name: [getattr(image, name) for image in self.counts]
                for name in ("tp", "fp", "fn", "tn")
            },
        }


class Scorer:
    """Adds up images."""

    def __init__(self) -> None:
        self._groups: list[str] = []
        self._matrices: list[ConfusionMatrix] = []

    def add(self, group: str, truth: BoolArray, found: BoolArray) -> None:
        """Count an image (H, W) whose class is ``group``."""
        matrix = ConfusionMatrix(1)
        matrix.update(truth.astype(np.uint8), found.astype(np.uint8))
        self._groups.append(group)
        self._matrices.append(matrix)

    def result(self) -> Scores:
        """Return the scores of all images so far, at least one."""
        return Scores(
            all=_scores(self._matrices),
            by_class={
                group: _scores(self._of(group)) for group in sorted(set(self._groups))
            },
            counts=tuple(_counts(matrix) for matrix in self._matrices),
        )

    def _of(self, group: str) -> list[ConfusionMatrix]:
        pairs = zip(self._groups, self._matrices, strict=True)
        return [matrix for name, matrix in pairs if name == group]


def _scores(matrices: list[ConfusionMatrix]) -> RegionScores:
    total = _sum(matrices)
    return RegionScores(
        mean_iou=total.mean_iou,
        foreground_iou=total.foreground_iou,
        background_iou=total.background_iou,
        dice=float(total.dice[1]),
        image_mean_iou=float(np.mean([matrix.mean_iou for matrix in matrices])),
    )


def _counts(matrix: ConfusionMatrix) -> PixelCounts:
    (tn, fp, _), (fn, tp, _) = matrix.counts.tolist()
    return PixelCounts(tp=tp, fp=fp, fn=fn, tn=tn)


def _sum(matrices: Iterable[ConfusionMatrix]) -> ConfusionMatrix:
    total = ConfusionMatrix(1)
    for matrix in matrices:
        total = total + matrix
    return total
