"""Strategies: what the next level is. One small class each.

``hold`` follows the loss (CellMix appendix, alg. 1); ``cellmix`` is the plan of
CellMix' released code, which the loss only brings forward; ``fixed`` is that paper's
ablation without a curriculum.
"""

from dataclasses import dataclass, replace
from typing import Protocol

from segmix_core.curriculum.level import ShuffleLevel
from segmix_core.curriculum.state import CurriculumPlan, CurriculumState

# CellMix: factors for the share of positions that stay fixed, and for the threshold.
_FEWER_FIXED = 0.9
_LOWER_THRESHOLD = 0.933


@dataclass(frozen=True, slots=True)
class Move:
    """What a strategy answers: the state to go on with, and why, as a sentence."""

    state: CurriculumState
    reason: str


class Strategy(Protocol):
    """Chooses levels. Pure: equal arguments, equal answer."""

    def begin(self, plan: CurriculumPlan) -> ShuffleLevel:
        """Return the first level after warm-up."""
        ...

    def decide(self, plan: CurriculumPlan, state: CurriculumState) -> Move:
        """Return the state after the decision that is due at ``state.step``."""
        ...


class Hold:
    """Harder when the loss is low; else wait, at most ``patience`` decisions."""

    def begin(self, plan: CurriculumPlan) -> ShuffleLevel:
        """Return the easiest level."""
        return ShuffleLevel(plan.patch_sizes[0], plan.min_ratio)

    def decide(self, plan: CurriculumPlan, state: CurriculumState) -> Move:
        """Compare the feedback with the threshold."""
        feedback, threshold = state.feedback, state.threshold
        if feedback is None:
            said = "No loss was seen at this level"
        elif threshold is None:
            said = f"The threshold is the loss so far, {feedback:.3f}."
            return Move(replace(state, threshold=feedback), said)
        elif feedback < threshold:
            said = f"Loss {feedback:.3f} is below {threshold:.3f}"
            return _make_harder(plan, state, threshold, said)
        else:
            said = f"Loss {feedback:.3f} is not below {threshold:.3f}"
        if state.held >= plan.patience:
            return self._follow_plan(plan, state, said)
        held = state.held + 1
        reason = f"{said}: the level stays ({held} of {plan.patience})."
        return Move(replace(state, held=held), reason)

    def _follow_plan(
        self, plan: CurriculumPlan, state: CurriculumState, said: str
    ) -> Move:
        index = max(_index(plan, state), plan.planned_index(state.step))
        ratio = max(state.level.shuffle_ratio, plan.planned_ratio(state.step))
        level = ShuffleLevel(plan.patch_sizes[index], ratio)
        reason = f"{said} for {plan.patience} decisions: on to the planned level."
        if level == state.level:
            reason = f"{said}, and the plan asks for nothing harder: the level stays."
        return Move(replace(state, level=level, held=0), reason)


class CellMix:
    """The schedule of CellMix' released code: the plan, or one level ahead of it.

    Unlike in :class:`Hold` nothing that was won is kept: every decision starts at the
    plan. The share of positions that stay fixed falls in proportion to progress and
    reaches its end early, at 1 - (1 - max_ratio) / (1 - min_ratio). Of the code this
    takes the plan alone: the loss is ours, of the shuffled tiles, compared once a
    decision.
    """

    def begin(self, plan: CurriculumPlan) -> ShuffleLevel:
        """Return the easiest level."""
        return ShuffleLevel(plan.patch_sizes[0], plan.min_ratio)

    def decide(self, plan: CurriculumPlan, state: CurriculumState) -> Move:
        """Go to the plan, and one step further where the loss is low."""
        feedback, threshold = state.feedback, state.threshold
        index = plan.planned_index(state.step)
        fixed = (1 - plan.progress(state.step)) * (1 - plan.min_ratio)
        fixed = max(fixed, 1 - plan.max_ratio)
        done = round(100 * plan.progress(state.step))
        reason = f"Planned level at {done} %."
        threshold = feedback if threshold is None else threshold
        if feedback is not None and threshold is not None and feedback < threshold:
            reason = f"Loss {feedback:.3f} is below {threshold:.3f}: ahead of the plan."
            index = min(index + 1, len(plan.patch_sizes) - 1)
            fixed, threshold = _FEWER_FIXED * fixed, _LOWER_THRESHOLD * threshold
        level = ShuffleLevel(plan.patch_sizes[index], _ratio(plan, fixed))
        return Move(replace(state, level=level, threshold=threshold), reason)


@dataclass(frozen=True, slots=True)
class Fixed:
    """One level from the first step to the last (the paper's "w/o LD")."""

    level: ShuffleLevel

    def begin(self, plan: CurriculumPlan) -> ShuffleLevel:
        """Return the level."""
        return self.level

    def decide(self, plan: CurriculumPlan, state: CurriculumState) -> Move:
        """Keep the level."""
        return Move(replace(state, level=self.level), "The level is fixed.")


def make_strategy(name: str, *, fixed_level: ShuffleLevel) -> Strategy:
    """Return the strategy called ``name``.

    Parameters
    ----------
    name
        "hold", "cellmix" or "fixed".
    fixed_level
        Level of "fixed".

    Raises
    ------
    ValueError
        For an unknown name.
    """
    strategies: dict[str, Strategy] = {
        "hold": Hold(),
        "cellmix": CellMix(),
        "fixed": Fixed(fixed_level),
    }
    if name not in strategies:
        raise ValueError(f"{name!r} is not one of {', '.join(strategies)}")
    return strategies[name]


def _index(plan: CurriculumPlan, state: CurriculumState) -> int:
    return plan.patch_sizes.index(state.level.patch_size)


def _ratio(plan: CurriculumPlan, fixed: float) -> float:
    return min(plan.max_ratio, max(plan.min_ratio, 1 - fixed))


def _make_harder(
    plan: CurriculumPlan, state: CurriculumState, threshold: float, said: str
) -> Move:
    index = min(_index(plan, state) + 1, len(plan.patch_sizes) - 1)
    ratio = _ratio(plan, _FEWER_FIXED * (1 - state.level.shuffle_ratio))
    level = ShuffleLevel(plan.patch_sizes[index], ratio)
    lower = threshold * _LOWER_THRESHOLD
    if level == state.level:
        # Lowering the threshold further would change nothing but the display.
        return Move(replace(state, held=0), f"{said}, and this is the hardest level.")
    moved = replace(state, level=level, threshold=lower, held=0)
    return Move(moved, f"{said}: harder.")
