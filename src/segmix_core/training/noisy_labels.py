"""Pixel losses for pseudo masks, whose labels are partly wrong.

Robust losses also learn less from correct labels, so all of them use plain cross
entropy on corrected pixels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from segmix_core.training.pixel_losses import NO_CHANNEL, pixel_mean

_LARGEST_EASY_WEIGHT = 10.0
_SMOOTHABLE = ("ce", "oeem")
_LARGEST_SMOOTHING = 0.5


def generalized_cross_entropy(
    logits: Tensor, targets: Tensor, q: float = 0.7
) -> Tensor:
    """Return (1 - p^q) / q of each pixel, p the probability of its label.

    Zhang and Sabuncu, NeurIPS 2018, arXiv 1805.07836, equation 6: cross entropy as q
    falls to 0, the mean absolute error at 1.

    Parameters
    ----------
    logits
        (B, K, H, W).
    targets
        (B, H, W) int64 channel or :data:`NO_CHANNEL`.
    q
        In 0..1, without 0.

    Returns
    -------
    Tensor
        (B, H, W) in 0..1/q; undefined where there is no channel.
    """
    return (1 - (q * _log_probability(logits, targets)).exp()) / q


def symmetric_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    alpha: float = 0.1,
    beta: float = 1.0,
    log_zero: float = -4.0,
) -> Tensor:
    """Return alpha times cross entropy plus beta times reverse cross entropy.

    Wang et al., ICCV 2019, arXiv 1908.06112, section 3. The reverse swaps
    label and prediction; log 0, for all classes but the label, is replaced by a
    number A. With one label a pixel that is -A (1 - p). The defaults are theirs for
    ten classes.

    Parameters
    ----------
    logits, targets
        As in :func:`generalized_cross_entropy`.
    alpha, beta
        Weights >= 0 of the two.
    log_zero
        A, below 0.

    Returns
    -------
    Tensor
        (B, H, W) >= 0; undefined where there is no channel.
    """
    known = _log_probability(logits, targets)
    return -alpha * known - beta * log_zero * (1 - known.exp())


def bootstrapped_cross_entropy(
    logits: Tensor, targets: Tensor, noise: float = 0.3
) -> Tensor:
    """Return the cross entropy with labels mixed with the network's prediction.

    Reed et al., ICLR 2015 workshop, arXiv 1412.6596, section 3.3: the target is
    (1 - noise) times the label plus noise times the likeliest class ("hard"; the
    authors give their "soft" form, of probabilities, a noise of 0.05 only).

    Parameters
    ----------
    logits, targets
        As in :func:`generalized_cross_entropy`.
    noise
        Share of the network's prediction in the target, in 0..1.

    Returns
    -------
    Tensor
        (B, H, W) >= 0; undefined where there is no channel.
    """
    logs = logits.log_softmax(1)
    known = _pick(logs, targets)
    return -(1 - noise) * known - noise * logs.amax(1)


def easy_pixel_weights(losses: Tensor, targets: Tensor, pseudo: Tensor) -> Tensor:
    """Return weights that prefer the pixels of an image that agree with its mask.

    Online easy example mining, Li et al., MICCAI 2022, arXiv 2206.06665, section 2:
    the softmax of the negative losses divided by its mean. Only in images whose mask
    has several classes: where there is one, its labels are those of the whole image.

    Parameters
    ----------
    losses
        (B, H, W) >= 0; no gradient goes through them.
    targets
        (B, H, W) int64 channel, or :data:`NO_CHANNEL` where nothing is decided.
    pseudo
        (B, H, W) bool: labeled by a pseudo mask only.

    Returns
    -------
    Tensor
        (B, H, W) in 0..10, of mean 1 over the pseudo pixels of an image unless one is
        cut at 10; 1 at all other pixels, and in images of one class.
    """
    lowest = torch.finfo(losses.dtype).min
    scores = losses.detach().neg().masked_fill(~pseudo, lowest).flatten(1).softmax(1)
    # The scores of an image sum to 1: divided by their mean is times their number.
    easy = scores.view_as(losses) * pseudo.sum((1, 2), keepdim=True)
    undecided = targets == NO_CHANNEL
    last = targets.masked_fill(undecided, -1).amax((1, 2), keepdim=True)
    first = torch.where(undecided, last, targets).amin((1, 2), keepdim=True)
    chosen = pseudo & (first < last)
    return torch.where(chosen, easy.clamp(max=_LARGEST_EASY_WEIGHT), 1.0)


@dataclass(frozen=True, slots=True)
class PixelLoss:
    """A pixel loss and its options.

    Attributes
    ----------
    name
        "ce", or one of the losses of this file: "oeem", "gce", "sce", "bootstrapped".
    label_smoothing
        Share of the target that is spread over all channels, 0..0.5; above 0 for "ce"
        and "oeem" only. Corrected pixels are not smoothed.

    Raises
    ------
    ValueError
        If the loss is unknown, or does not support this smoothing.
    """

    name: str = "ce"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in LOSSES:
            raise ValueError(f"{self.name!r} is not one of {', '.join(LOSSES)}")
        if not 0 <= self.label_smoothing <= _LARGEST_SMOOTHING:
            raise ValueError(
                f"label_smoothing must be in 0..{_LARGEST_SMOOTHING}, "
                f"not {self.label_smoothing}"
            )
        if self.label_smoothing > 0 and self.name not in _SMOOTHABLE:
            raise ValueError(
                f"label_smoothing must be 0 with {self.name}, "
                f"not {self.label_smoothing}"
            )

    def __call__(
        self,
        logits: Tensor,
        targets: Tensor,
        weights: Tensor,
        corrected: Tensor | None = None,
        class_weights: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted mean loss of the pixels.

        Parameters
        ----------
        logits
            (B, K, H, W).
        targets
            (B, H, W) int64 channel or :data:`NO_CHANNEL`.
        weights
            (B, H, W) >= 0.
        corrected
            (B, H, W) bool: corrected by a person. None: no pixel.
        class_weights
            (K,) > 0, multiplied with the weight of the pixels of each channel.

        Returns
        -------
        Tensor
            Scalar, sum(w l) / sum(w); 0 where no pixel has weight.
        """
        losses = self._of_pseudo_pixels(logits, targets)
        if corrected is None:
            corrected = torch.zeros_like(targets, dtype=torch.bool)
        if self.name == "oeem":
            decided = targets.masked_fill(weights <= 0, NO_CHANNEL)
            pseudo = (decided != NO_CHANNEL) & ~corrected
            losses = losses * easy_pixel_weights(losses, decided, pseudo)
        losses = torch.where(corrected, cross_entropy(logits, targets), losses)
        return pixel_mean(losses, targets, weights, class_weights)

    def _of_pseudo_pixels(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.label_smoothing > 0:
            return cross_entropy(logits, targets, self.label_smoothing)
        return LOSSES[self.name](logits, targets)


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return (B, H, W) >= 0: torch's cross entropy, 0 where there is no channel."""
    return F.cross_entropy(
        logits,
        targets,
        reduction="none",
        ignore_index=NO_CHANNEL,
        label_smoothing=smoothing,
    )


LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ce": cross_entropy,
    "oeem": cross_entropy,
    "gce": generalized_cross_entropy,
    "sce": symmetric_cross_entropy,
    "bootstrapped": bootstrapped_cross_entropy,
}
"""Logits (B, K, H, W) and targets (B, H, W) to the losses of pseudo pixels."""


def _log_probability(logits: Tensor, targets: Tensor) -> Tensor:
    return _pick(logits.log_softmax(1), targets)


def _pick(logs: Tensor, targets: Tensor) -> Tensor:
    return logs.gather(1, targets.clamp(min=0)[:, None])[:, 0]
