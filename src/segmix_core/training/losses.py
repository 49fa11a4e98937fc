"""Loss terms of SEAM (CVPR 2020) and SegMix, one function each.

Labels are 1 present, 0 absent, -1 unknown; the soft labels of shuffled tiles lie
between 0 and 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from segmix_core.models.cam import keep_present_classes, make_seed, normalize_cam

# As in the code of SEAM: only the largest fifth of all differences counts.
_HARD_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """Weights of the terms beside the classification loss, which has weight 1.

    ``er`` is below the 1 of SEAM: at 1 it held the class scores back on tissue.
    ``puzzle`` (Puzzle-CAM) grows from 0 at the first step to its value in the middle of
    the run, and is not computed at weight 0.
    """

    shuffle: float = 1.0
    er: float = 0.2
    ecr: float = 1.0
    puzzle: float = 0.0


DEFAULT_WEIGHTS = LossWeights()


def ramp(step: int, start: float, end: float) -> float:
    """Return 0 up to ``start``, 1 from ``end``, and a straight line between."""
    if step >= end:
        return 1.0
    return 0.0 if step <= start else (step - start) / (end - start)


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the multi-label soft margin loss over the known labels.

    ``-[y log sigmoid(x) + (1 - y) log(1 - sigmoid(x))]``, mean over tiles and classes
    (SEAM eq. 4; CellMix appendix S3.B for soft labels).

    Parameters
    ----------
    logits
        (B, C).
    labels
        (B, C), in [0, 1]; negative where unknown, which is ignored.

    Returns
    -------
    Tensor
        Scalar >= 0; 0 if no label is known.
    """
    known = labels >= 0
    terms = F.binary_cross_entropy_with_logits(
        logits.float(), labels.clamp(min=0), reduction="none"
    )
    return _known_mean(terms, known)


def label_entropy(labels: Tensor) -> Tensor:
    """Return the smallest possible :func:`classification_loss` of soft labels.

    A class in half of a tile costs log 2 even with perfect predictions.

    Parameters
    ----------
    labels
        (B, C), in [0, 1]; negative where unknown.

    Returns
    -------
    Tensor
        Scalar in [0, log 2]; 0 for labels of 0 and 1.
    """
    return _known_mean(_entropy(labels.clamp(min=0)), labels >= 0)


def label_spread(labels: Tensor, frequency: Tensor) -> Tensor:
    """Return how much labels tell beyond the frequencies of classes.

    The :func:`classification_loss` of always predicting the class frequencies, minus
    the unavoidable :func:`label_entropy`. Mixing tiles makes their labels similar, so a
    loss has to be compared with this.

    Parameters
    ----------
    labels
        (B, C), in [0, 1]; negative where unknown.
    frequency
        (C,): share of the tiles that have each class, between 0 and 1.

    Returns
    -------
    Tensor
        Scalar >= 0; 0 where all labels equal the frequencies.
    """
    share = labels.clamp(min=0)
    constant = -(share * frequency.log() + (1 - share) * (1 - frequency).log())
    return _known_mean(constant - _entropy(share), labels >= 0)


def equivariance_loss(first: Tensor, second: Tensor, present: Tensor) -> Tensor:
    """Return how much the maps of two views differ (SEAM eq. 5, ER).

    SEAM compares maps that are divided by their maximum. Flat maps minimize
    that, and on tissue, where a class may fill a tile, it cost 20 points of mean IoU.
    Here the probabilities of the pixels are compared, which have a fixed scale.

    Parameters
    ----------
    first, second
        (B, C, h, w) and (B, C, h2, w2), raw scores, both in the pose of the tile; the
        larger is resized to the smaller.
    present
        (B, C), bool or 0/1.

    Returns
    -------
    Tensor
        Scalar in [0, 1]: mean absolute difference over all classes; those that are not
        present count as zeros, as in SEAM.
    """
    first, second = match_size(first.float(), second.float())
    difference = (first.sigmoid() - second.sigmoid()).abs()
    return keep_present_classes(difference, present).mean()


def cross_regularization_loss(
    refined: Tensor, other: Tensor, present: Tensor
) -> Tensor:
    """Return how far a refined map is from the other view's map (SEAM eq. 6, ECR).

    Parameters
    ----------
    refined
        (B, C, h, w), not negative: output of the pixel correlation module for one view.
    other
        (B, C, h2, w2), raw scores of the other view; used without gradient, for the
        strongest class of each pixel.
    present
        (B, C), bool or 0/1.

    Returns
    -------
    Tensor
        Scalar in [0, 1]: mean of the largest fifth of the absolute differences of all
        tiles; 0 if no class is present.
    """
    refined, other = match_size(refined.float(), other.float())
    target = make_seed(other.float(), present)
    maps = normalize_cam(keep_present_classes(refined, present))
    differences = (maps - target).abs().flatten()
    hard = max(1, int(_HARD_SHARE * differences.numel()))
    return differences.topk(hard).values.mean()


def match_size(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return both maps on the grid of the smaller, resized bilinearly.

    Parameters
    ----------
    first, second
        (B, C, h, w) and (B, C, h2, w2).
    """
    if first.shape[-2:] == second.shape[-2:]:
        return first, second
    if first.shape[-1] < second.shape[-1]:
        return first, _resize(second, first)
    return _resize(first, second), second


def _resize(maps: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(
        maps, like.shape[-2:], mode="bilinear", align_corners=False, antialias=True
    )


def _known_mean(terms: Tensor, known: Tensor) -> Tensor:
    return (terms * known).sum() / known.sum().clamp(min=1)


def _entropy(share: Tensor) -> Tensor:
    rest = 1 - share
    return -(torch.xlogy(share, share) + torch.xlogy(rest, rest))
