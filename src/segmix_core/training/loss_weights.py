"""How much each loss term of the CAM classifier counts, and from when on."""

from dataclasses import dataclass


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
