"""What the curriculum knows (state) and what it was told (plan)."""

from dataclasses import dataclass
from math import ceil

from segmix_core.curriculum.level import ShuffleLevel

# At most this many decisions in a run: SegMix has few epochs, a demo few steps.
_DECISIONS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class CurriculumPlan:
    """What is fixed for a run.

    Attributes
    ----------
    patch_sizes
        Coarse to fine, in pixels.
    total_steps
        Steps of the run.
    interval
        Steps from one decision to the next.
    warmup_steps
        Steps before the first decision.
    warmup_level
        Level during warm-up; the fixed strategy keeps its own from the start.
    min_ratio, max_ratio
        Shuffle ratio at the start and at the end, in [0, 1].
    patience
        Decisions without progress, after which the planned level takes over.
    """

    patch_sizes: tuple[int, ...]
    total_steps: int
    interval: int
    warmup_steps: int
    warmup_level: ShuffleLevel
    min_ratio: float
    max_ratio: float
    patience: int

    def __post_init__(self) -> None:
        if not self.patch_sizes:
            raise ValueError("There are no patch sizes")
        if list(self.patch_sizes) != sorted(set(self.patch_sizes), reverse=True):
            raise ValueError(f"patch_sizes must decrease: {self.patch_sizes}")
        if not 0 <= self.min_ratio <= self.max_ratio <= 1:
            raise ValueError(
                "Ratios must satisfy 0 <= min_ratio <= max_ratio <= 1, not "
                f"{self.min_ratio} and {self.max_ratio}"
            )
        if min(self.total_steps, self.interval, self.patience) < 1:
            raise ValueError(
                "Steps, interval and patience must be at least 1, not "
                f"{self.total_steps}, {self.interval} and {self.patience}"
            )

    def progress(self, step: int) -> float:
        """Return the share of the steps after warm-up that are done, in [0, 1]."""
        rest = self.total_steps - self.warmup_steps
        return min(1.0, max(0.0, (step - self.warmup_steps) / max(1, rest)))

    def planned_index(self, step: int) -> int:
        """Return the index into ``patch_sizes`` that progress alone asks for."""
        count = len(self.patch_sizes)
        return min(int(self.progress(step) * count), count - 1)

    def planned_ratio(self, step: int) -> float:
        """Return the shuffle ratio that progress alone asks for."""
        return self.min_ratio + self.progress(step) * (self.max_ratio - self.min_ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class CurriculumState:
    """All that changes while a run goes on.

    Attributes
    ----------
    step
        Steps that were observed.
    level
        Level of the next step.
    threshold
        Loss below which it gets harder; None until warm-up ends.
    loss_sum, loss_weight
        Running sums of weighted losses and of weights at this level, exponential with
        factor 0.9; their ratio needs no correction for the first steps.
    held
        Decisions since the last progress.
    """

    level: ShuffleLevel
    step: int = 0
    threshold: float | None = None
    loss_sum: float = 0.0
    loss_weight: float = 0.0
    held: int = 0

    @property
    def feedback(self) -> float | None:
        """Running mean of the loss at this level; None before the first step at it."""
        return self.loss_sum / self.loss_weight if self.loss_weight else None


def decision_interval(total_steps: int, steps_per_epoch: int) -> int:
    """Return the steps between decisions.

    A quarter of an epoch, at least 50 steps (method: a steady mean); but short runs
    still make about 24 decisions, of 4 steps or more each.

    Examples
    --------
    >>> decision_interval(100, 25), decision_interval(1560, 195)
    (4, 50)
    """
    wanted = max(50, ceil(steps_per_epoch / 4))
    return max(4, min(wanted, total_steps // _DECISIONS))
