"""Scores of masks, from one confusion matrix over a whole data set.

Intersection over union is not additive: the mean of the scores of images differs from
the score over all their pixels. Everything in :class:`ConfusionMatrix` is over all
pixels; :func:`image_mean_iou` is a mean over images.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from segmix_core.project.records import BACKGROUND, IGNORE_INDEX

FloatArray = npt.NDArray[np.float64]
MaskArray = npt.NDArray[np.uint8]


class ConfusionMatrix:
    """Pixels counted by true and predicted class index.

    Parameters
    ----------
    num_classes
        C >= 1: truth has the values 0 (background), 1..C, and an ignored one.

    Attributes
    ----------
    counts
        (C + 1, C + 2) int64: row = truth, column = prediction 0..C. The last column
        counts pixels with prediction 255, "no answer". They count as misses, so that
        ignoring hard pixels does not improve a score.
    """

    def __init__(self, num_classes: int) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes must be >= 1, not {num_classes}")
        self.num_classes = num_classes
        self.counts = np.zeros((num_classes + 1, num_classes + 2), np.int64)

    def update(
        self, truth: MaskArray, prediction: MaskArray, ignore: int = IGNORE_INDEX
    ) -> None:
        """Count the pixels of an image.

        Parameters
        ----------
        truth, prediction
            The same shape; truth in 0..C or ``ignore``, prediction in 0..C or 255.
        ignore
            Value of truth whose pixels are not counted.

        Raises
        ------
        ValueError
            If the shapes differ or a value is out of range.
        """
        if truth.shape != prediction.shape:
            raise ValueError(
                f"The shapes of the masks differ: {truth.shape}, {prediction.shape}"
            )
        is_counted = truth != ignore
        true = truth[is_counted].astype(np.int64)
        predicted = prediction[is_counted].astype(np.int64)
        is_answer = predicted != IGNORE_INDEX
        self._check(true, "truth")
        self._check(predicted[is_answer], "prediction")
        predicted[~is_answer] = self.num_classes + 1
        flat = np.bincount(
            true * self.counts.shape[1] + predicted, minlength=self.counts.size
        )
        self.counts += flat.reshape(self.counts.shape)

    def __add__(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        """Return the matrix of both data sets."""
        if other.num_classes != self.num_classes:
            raise ValueError(
                f"Numbers of classes differ: {self.num_classes}, {other.num_classes}"
            )
        result = ConfusionMatrix(self.num_classes)
        result.counts = self.counts + other.counts
        return result

    @property
    def iou(self) -> FloatArray:
        """(C + 1,) in 0..1; NaN for a class in neither truth nor prediction."""
        return _iou(*self._true_and_totals())

    @property
    def dice(self) -> FloatArray:
        """(C + 1,) in 0..1; NaN for a class in neither truth nor prediction."""
        hit, true, predicted = self._true_and_totals()
        return _ratio(2 * hit, true + predicted)

    @property
    def mean_iou(self) -> float:
        """Mean of :attr:`iou` over background and classes without NaN; 0..1."""
        return _mean(self.iou)

    @property
    def mean_dice(self) -> float:
        """Mean of :attr:`dice` over background and classes without NaN; 0..1."""
        return _mean(self.dice)

    @property
    def foreground_iou(self) -> float:
        """IoU of all classes 1..C merged into one; NaN if there is no such pixel."""
        return float(self._two_class_iou()[1])

    @property
    def background_iou(self) -> float:
        """IoU of background (0); NaN if there is no such pixel."""
        return float(self._two_class_iou()[0])

    @property
    def answered(self) -> float:
        """Share of the counted pixels whose prediction is not 255; NaN without any."""
        return float(_ratio(self.counts[:, :-1].sum(), self.counts.sum()))

    def _two_class_iou(self) -> FloatArray:
        sides = np.arange(self.num_classes + 1) != BACKGROUND
        inner = self.counts[:, :-1]
        hit = np.array([inner[~sides][:, ~sides].sum(), inner[sides][:, sides].sum()])
        true = np.array([self.counts[~sides].sum(), self.counts[sides].sum()])
        predicted = np.array([inner[:, ~sides].sum(), inner[:, sides].sum()])
        return _iou(hit, true, predicted)

    def _true_and_totals(
        self,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        answers = self.counts[:, :-1]
        return np.diag(answers), self.counts.sum(axis=1), answers.sum(axis=0)

    def _check(self, values: npt.NDArray[np.int64], name: str) -> None:
        if values.size and values.max() > self.num_classes:
            raise ValueError(f"Unexpected value {values.max()} in {name}")


def image_mean_iou(
    pairs: Iterable[tuple[MaskArray, MaskArray]],
    num_classes: int,
    ignore: int = IGNORE_INDEX,
) -> float:
    """Return the mean over images of each image's mean IoU; 0..1, NaN without images.

    An image's mean is over the classes in its truth or prediction. Images without a
    counted pixel are left out.
    """
    means = []
    for truth, prediction in pairs:
        matrix = ConfusionMatrix(num_classes)
        matrix.update(truth, prediction, ignore)
        means.append(matrix.mean_iou)
    return _mean(np.array(means, np.float64))


def _iou(
    hit: npt.NDArray[np.int64],
    true: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
) -> FloatArray:
    return _ratio(hit, true + predicted - hit)


def _ratio(
    part: npt.NDArray[np.int64] | np.int64, whole: npt.NDArray[np.int64] | np.int64
) -> FloatArray:
    # 0 / 0 means no such pixels: undefined, not a bad score.
    with np.errstate(invalid="ignore"):
        return np.asarray(np.true_divide(part, whole), np.float64)


def _mean(scores: FloatArray) -> float:
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if known.size else float("nan")
