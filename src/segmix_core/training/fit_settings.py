"""Settings and results of the training loop."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from segmix_core.events import EndReason


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How to train.

    Attributes
    ----------
    epochs
        Passes over the tiles.
    learning_rate, weight_decay
        Peak of the one-cycle schedule; of AdamW.
    seed
        Of everything random in a step.
    clip_norm
        Maximum norm of the gradient.
    average
        Predict with averaged weights instead of the last ones.
    keep_best
        Write ``best`` after each epoch with a new best score.
    checkpoint_seconds, preview_seconds
        Time between checkpoints, between previews.
    """

    epochs: int
    learning_rate: float
    weight_decay: float = 0.01
    seed: int = 0
    clip_norm: float = 1.0
    average: bool = True
    keep_best: bool = False
    checkpoint_seconds: float = 30.0
    preview_seconds: float = 10.0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.learning_rate <= 0 or self.clip_norm <= 0:
            raise ValueError(
                "Epochs must be >= 1, learning rate and norm > 0, not "
                f"{self.epochs}, {self.learning_rate}, {self.clip_norm}"
            )


@dataclass(frozen=True, slots=True)
class FitResult:
    """Result of a training.

    Attributes
    ----------
    reason
        "completed" or "canceled".
    step, total_steps
        Optimizer steps done, and planned.
    scores
        Scores of the best epoch; empty if not measured.
    """

    reason: EndReason
    step: int
    total_steps: int
    scores: Mapping[str, float] = field(default_factory=dict)
