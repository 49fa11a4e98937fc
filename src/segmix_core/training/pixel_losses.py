"""Losses of a segmenter: one function per term."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

NO_CHANNEL = -100
"""Target of ignored pixels, as in torch's cross entropy."""


def channel_targets(masks: Tensor, class_indices: Sequence[int]) -> Tensor:
    """Return the channel of each pixel's class.

    Parameters
    ----------
    masks
        (B, H, W) uint8 class index, 255 ignore.
    class_indices
        Class index of each channel, all different.

    Returns
    -------
    Tensor
        (B, H, W) int64 channel; :data:`NO_CHANNEL` where the class has none.
    """
    table = torch.full((256,), NO_CHANNEL, device=masks.device)
    for channel, index in enumerate(class_indices):
        table[index] = channel
    return table[masks.long()]


def pixel_mean(
    losses: Tensor,
    targets: Tensor,
    weights: Tensor,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Return the weighted mean of the losses of pixels.

    Parameters
    ----------
    losses
        (B, H, W), finite.
    targets
        (B, H, W) int64 channel or :data:`NO_CHANNEL`.
    weights
        (B, H, W) >= 0.
    class_weights
        (K,) > 0, multiplied with the weight of the pixels of each channel.

    Returns
    -------
    Tensor
        Scalar, sum(w l) / sum(w); 0 where no pixel has weight.
    """
    counted = weights * (targets != NO_CHANNEL)
    if class_weights is not None:
        counted = counted * class_weights[targets.clamp(min=0)]
    return (losses * counted).sum() / counted.sum().clamp(min=1e-6)


def soft_dice_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return 1 - the mean Dice coefficient of the classes in the batch.

    Over the pixels of the whole batch, Dice_k = 2 sum(w p_k t_k) / sum(w (p_k + t_k))
    (Milletari et al., V-Net, arXiv 1606.04797, without their squares); classes
    without a pixel are left out.

    Parameters
    ----------
    logits
        (B, K, H, W).
    targets
        (B, H, W) int64 channel or :data:`NO_CHANNEL`.
    weights
        (B, H, W) >= 0.

    Returns
    -------
    Tensor
        Scalar in 0..1; 0 where no pixel has weight.
    """
    counted = (weights * (targets != NO_CHANNEL)).unsqueeze(1)
    truth = F.one_hot(targets.clamp(min=0), logits.shape[1]).movedim(-1, 1)
    truth = truth * counted
    guess = logits.softmax(1) * counted
    # guess already contains the weight.
    common = (guess * (truth > 0)).sum((0, 2, 3))
    total = (guess + truth).sum((0, 2, 3))
    present = truth.sum((0, 2, 3)) > 0
    dice = 2 * common / total.clamp(min=1e-6)
    return ((1 - dice) * present).sum() / present.sum().clamp(min=1)


def pixel_accuracy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted share of pixels whose largest logit is right, in 0..1.

    Shapes as in :func:`soft_dice_loss`; 0 where no pixel has weight.
    """
    counted = weights * (targets != NO_CHANNEL)
    right = (logits.argmax(1) == targets) * counted
    return right.sum() / counted.sum().clamp(min=1e-6)


def inverse_root_weights(
    counts: npt.NDArray[np.int64], limit: float = 5.0
) -> npt.NDArray[np.float32]:
    """Return class weights that decrease with the square root of frequency.

    Parameters
    ----------
    counts
        (K,) pixels of each channel, >= 0.
    limit
        Largest ratio of a weight to the most frequent class's.

    Returns
    -------
    array
        (K,) float32 whose mean over pixels is 1; all 1 if there are no pixels.

    Raises
    ------
    ValueError
        If a count is negative.
    """
    if (counts < 0).any():
        raise ValueError(f"Counts must be >= 0, not {counts}")
    if counts.sum() == 0:
        return np.ones(len(counts), np.float32)
    weights = np.minimum(np.sqrt(counts.max() / np.maximum(counts, 1)), limit)
    mean = (weights * counts).sum() / counts.sum()
    scaled: npt.NDArray[np.float32] = (weights / mean).astype(np.float32)
    return scaled
