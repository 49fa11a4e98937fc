"""Scores of a method on the test images."""

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
class Scores:
    """Scores over all images, and over those of each class."""

    all: RegionScores
    by_class: dict[str, RegionScores]

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
        }


class Scorer:
    """Adds up images."""

    def __init__(self) -> None:
        self._matrices: dict[str, list[ConfusionMatrix]] = {}

    def add(self, group: str, truth: BoolArray, found: BoolArray) -> None:
        """Count an image (H, W) whose class is ``group``."""
        matrix = ConfusionMatrix(1)
        matrix.update(truth.astype(np.uint8), found.astype(np.uint8))
        self._matrices.setdefault(group, []).append(matrix)

    def result(self) -> Scores:
        """Return the scores of all images so far, at least one."""
        everything = [matrix for group in self._matrices.values() for matrix in group]
        return Scores(
            all=_scores(everything),
            by_class={
                name: _scores(group) for name, group in sorted(self._matrices.items())
            },
        )


def _scores(matrices: list[ConfusionMatrix]) -> RegionScores:
    total = _sum(matrices)
    return RegionScores(
        mean_iou=total.mean_iou,
        foreground_iou=total.foreground_iou,
        background_iou=total.background_iou,
        dice=float(total.dice[1]),
        image_mean_iou=float(np.mean([matrix.mean_iou for matrix in matrices])),
    )


def _sum(matrices: Iterable[ConfusionMatrix]) -> ConfusionMatrix:
    total = ConfusionMatrix(1)
    for matrix in matrices:
        total = total + matrix
    return total
