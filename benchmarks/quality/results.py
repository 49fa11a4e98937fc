"""The result of one training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.quality.scores import Scores

Scored = Literal["trivial", "maps", "segmenter"]


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One training and its scores.

    Attributes
    ----------
    method
        Name of the row: a method and the settings that it has of its own.
    scored
        Whose answer: the maps of the classifier, or a segmenter that learned from them.
    threshold
        Of the maps, chosen on val; None where the protocol has none.
    reads_train_masks
        The method is the ceiling, not weak supervision.
    settings
        What the row has of its own, value by dotted name.
    """

    method: str
    seed: int | None
    scores: Scores
    threshold: float | None = None
    scored: Scored = "maps"
    reads_train_masks: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "method": self.method,
            "settings": dict(self.settings),
            "scored": self.scored,
            "reads_train_masks": self.reads_train_masks,
            "seed": self.seed,
            "threshold": self.threshold,
            **self.scores.to_json(),
        }
