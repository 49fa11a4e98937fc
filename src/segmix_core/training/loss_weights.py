"""How much each loss term of the CAM classifier counts, and from when on."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """Weights of the terms beside the classification loss, which has weight 1.

    ``er`` is below the 1 of SEAM: at 1 it held the class scores back on tissue.
    ``unshuffle`` and ``pixel`` (SegMix+) grow from 0 at the end of warm-up to their
    value halfway from there to the end of the run; ``puzzle`` (Puzzle-CAM) from the
    first step to the middle of the run. Those three are not computed at weight 0.
    """

    shuffle: float = 1.0
    er: float = 0.2
    ecr: float = 1.0
    unshuffle: float = 0.0
    pixel: float = 0.0
    puzzle: float = 0.0

    def weigh_shuffled(self, terms: Mapping[str, Tensor], alpha: float) -> Tensor:
        """Return the loss of the shuffled view.

        Parameters
        ----------
        terms
            "shuffled" and, where they were computed, "unshuffle" and "pixel".
        alpha
            0..1: how much of their weights the last two have already.
        """
        loss = self.shuffle * terms["shuffled"]
        if "unshuffle" in terms:
            loss = loss + alpha * self.unshuffle * terms["unshuffle"]
        if "pixel" in terms:
            loss = loss + alpha * self.pixel * terms["pixel"]
        return loss


def ramp(step: int, start: float, end: float) -> float:
    """Return 0 up to ``start``, 1 from ``end``, and a straight line between."""
    if step >= end:
        return 1.0
    return 0.0 if step <= start else (step - start) / (end - start)
