"""Maps of classes that share one foreground.

Our own part of SegMix+. Where tiles have background, a network that learns from masks
first says where any class is, then which. What it has learned of the border between
tissue and background from the masks of all classes then mends the masks of each: maps
of a class that is known by its surroundings lie around what they should lie on.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_NEARLY_SURE = -1e-6


def class_logits(scores: Tensor) -> Tensor:
    """Return the logit of each class being at a cell.

    The logit of sigmoid(foreground) softmax(classes): probabilities of a cell add up to
    that of its foreground.

    Parameters
    ----------
    scores
        (B, 1 + C, h, w): of the foreground, then of the classes.

    Returns
    -------
    Tensor
        (B, C, h, w) float32.
    """
    scores = scores.float()
    sure = F.logsigmoid(scores[:, :1]) + scores[:, 1:].log_softmax(dim=1)
    sure = sure.clamp(max=_NEARLY_SURE)
    return sure - torch.log(-torch.expm1(sure))


def give_to_present(maps: Tensor, labels: Tensor) -> Tensor:
    """Return maps with what absent classes have given to the others, in proportion.

    Parameters
    ----------
    maps
        (B, C, h, w) >= 0: probabilities that add up to that of the foreground.
    labels
        (B, C) holding -1 (unknown), 0 (absent) or 1 (present).

    Returns
    -------
    Tensor
        (B, C, h, w), 0 for absent classes. The sum over classes stays, unless all of
        them are absent.
    """
    possible = (labels != 0).to(maps.dtype)[:, :, None, None]
    kept = maps * possible
    total, left = maps.sum(1, keepdim=True), kept.sum(1, keepdim=True)
    # Where nothing is left to be in proportion to, possible classes have equal parts.
    tiny = torch.finfo(maps.dtype).tiny
    equal = possible / possible.sum(1, keepdim=True).clamp(min=1)
    return total * torch.where(left > tiny, kept / left.clamp(min=tiny), equal)
