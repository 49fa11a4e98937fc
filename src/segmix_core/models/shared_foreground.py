"""Maps of classes that share one foreground.

Our own part of SegMix+. Where tiles have background, a network that learns from masks
first says where any class is, then which. What it has learned of the border between
tissue and background from the masks of all classes then mends the masks of each: maps
of a class that is known by its surroundings lie around what they should lie on. A map
is the class's share of the foreground; :mod:`segmix_core.models.shared_maps` gives to
the classes of a tile what absent ones have of it.
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
