"""The feedback controller: from the loss of shuffled tiles to the next level."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from segmix_core.curriculum.level import ShuffleLevel
from segmix_core.curriculum.patch_sizes import default_patch_size
from segmix_core.curriculum.schedule import Fixed, Strategy, make_strategy
from segmix_core.curriculum.state import (
    CurriculumPlan,
    CurriculumState,
    decision_interval,
)
from segmix_core.errors import ConfigError
from segmix_core.events import CurriculumDecided

_MEMORY = 0.9
_WARMUP_RATIO = 0.5


class Advance(NamedTuple):
    """The next state; where a decision was made, why, and on which mean loss."""

    state: CurriculumState
    reason: str | None = None
    feedback: float | None = None


def advance(
    state: CurriculumState,
    plan: CurriculumPlan,
    strategy: Strategy,
    loss: float,
    *,
    weight: float = 1.0,
) -> Advance:
    """Take in the loss of one step. Pure; called once a step.

    Parameters
    ----------
    state
        Before the step.
    plan
        Of the run.
    strategy
        Chooses the level whenever a decision is due.
    loss
        Relative loss of the step's shuffled tiles: 0 is as good as soft labels allow, 1
        no better than the frequencies of the classes. Relative, because mixing makes
        the labels of tiles alike: the plain loss of a harder level may be lower. It
        depends neither on the batch size nor on the number of classes. A value that is
        not finite counts the step and nothing else.
    weight
        Of this step in the running mean, >= 0: how much there was to learn.

    Returns
    -------
    Advance
        At the end of warm-up the threshold becomes the mean loss of its last half,
        unless it was given, and the first level of the schedule follows.
    """
    state = _observe(state, plan, loss, weight)
    since = state.step - plan.warmup_steps
    if since < 0 or isinstance(strategy, Fixed):
        return Advance(state)
    if since == 0:
        return _leave_warmup(state, plan, strategy)
    if since % plan.interval:
        return Advance(state)
    move = strategy.decide(plan, state)
    return Advance(_settle(state, move.state), move.reason, state.feedback)


def _observe(
    state: CurriculumState, plan: CurriculumPlan, loss: float, weight: float
) -> CurriculumState:
    step = state.step + 1
    if not math.isfinite(loss * weight):
        return replace(state, step=step)
    in_warmup = step <= plan.warmup_steps
    if in_warmup and step <= plan.warmup_steps // 2:
        # The first half of warm-up is the loss of an untrained network.
        return replace(state, step=step)
    memory = 1.0 if in_warmup else _MEMORY
    share = 1.0 if in_warmup else 1 - _MEMORY
    return replace(
        state,
        step=step,
        loss_sum=memory * state.loss_sum + share * weight * loss,
        loss_weight=memory * state.loss_weight + share * weight,
    )


def _leave_warmup(
    state: CurriculumState, plan: CurriculumPlan, strategy: Strategy
) -> Advance:
    threshold = state.feedback if state.threshold is None else state.threshold
    after = replace(state, threshold=threshold, level=strategy.begin(plan))
    said = "is not known yet" if threshold is None else f"is {threshold:.3f}"
    reason = f"Warm-up ends; the threshold {said}."
    return Advance(_settle(state, after), reason, state.feedback)


def _settle(before: CurriculumState, after: CurriculumState) -> CurriculumState:
    if after.level == before.level:
        return after
    # The loss at another level says nothing about this one.
    return replace(after, loss_sum=0.0, loss_weight=0.0)


class CurriculumController:
    """Keeps the state of the curriculum through a run.

    Parameters
    ----------
    plan
        What is fixed for the run.
    strategy
        See :mod:`segmix_core.curriculum.schedule`.
    threshold
        Relative loss below which it gets harder, as in :func:`advance`; None: from
        warm-up.
    """

    def __init__(
        self,
        plan: CurriculumPlan,
        strategy: Strategy,
        *,
        threshold: float | None = None,
    ) -> None:
        if threshold is not None and threshold <= 0:
            raise ValueError(f"threshold must be > 0, not {threshold}")
        self.plan = plan
        self.strategy = strategy
        at_once = plan.warmup_steps == 0 or isinstance(strategy, Fixed)
        level = strategy.begin(plan) if at_once else plan.warmup_level
        self.state = CurriculumState(level=level, threshold=threshold)

    @property
    def level(self) -> ShuffleLevel:
        """Level of the next step."""
        return self.state.level

    def observe(self, loss: float, *, weight: float = 1.0) -> CurriculumDecided | None:
        """Take in the loss of a step as :func:`advance`; return the decision."""
        self.state, reason, feedback = advance(
            self.state, self.plan, self.strategy, loss, weight=weight
        )
        if reason is None:
            return None
        return CurriculumDecided(
            step=self.state.step,
            patch_size=self.level.patch_size,
            shuffle_ratio=self.level.shuffle_ratio,
            feedback=feedback,
            threshold=self.state.threshold,
            reason=reason,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return asdict(self.state)

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned.

        Raises
        ------
        ValueError
            If it is of another version, or its patch size is not in the plan.
        """
        try:
            level = ShuffleLevel(**content["level"])
            state = CurriculumState(**{**content, "level": level})
        except (KeyError, TypeError) as error:
            raise ValueError(f"Invalid state of a curriculum: {error}") from error
        possible = (*self.plan.patch_sizes, self.level.patch_size)
        if level.patch_size not in possible:
            raise ValueError(
                f"The patch size must be in {possible}, not {level.patch_size}"
            )
        self.state = state


def make_controller(  # noqa: PLR0913 - the settings of a run, by name
    strategy: str,
    patch_sizes: Sequence[int],
    *,
    tile_px: int,
    total_steps: int,
    steps_per_epoch: int,
    patch_size: int | None = None,
    fixed_ratio: float = 0.30,
    min_ratio: float = 0.10,
    max_ratio: float = 0.75,
    warmup: float = 0.10,
    threshold: float | None = None,
    patience: int = 4,
) -> CurriculumController:
    """Return a controller from the settings of a run.

    Parameters
    ----------
    strategy
        "hold", "cellmix" or "fixed".
    patch_sizes
        As from :func:`segmix_core.curriculum.patch_sizes.list_patch_sizes`.
    tile_px
        Shorter edge of a tile, in pixels.
    total_steps, steps_per_epoch
        Of the run.
    patch_size
        Of warm-up and of the fixed strategy, one of ``patch_sizes``; None: about 32.
    fixed_ratio
        Shuffle ratio of the fixed strategy.
    min_ratio, max_ratio
        Shuffle ratio of the easiest and the hardest level.
    warmup
        Share of the steps before feedback starts; raised to a whole epoch, but never
        above a quarter of the run. 0: no warm-up.
    threshold
        As in :class:`CurriculumController`.
    patience
        Decisions without progress before the planned level takes over.

    Raises
    ------
    ConfigError
        If ``patch_size`` is not one of ``patch_sizes``.
    ValueError
        For an unknown strategy or numbers out of range.
    """
    if patch_size is None:
        patch_size = default_patch_size(patch_sizes, tile_px)
    elif patch_size not in patch_sizes:
        raise ConfigError(
            f"{patch_size} is not a patch size of this run.",
            f"Choose one of {', '.join(map(str, patch_sizes))}, or leave it empty.",
        )
    fixed_level = ShuffleLevel(patch_size, fixed_ratio)
    chosen = make_strategy(strategy, fixed_level=fixed_level)
    plan = CurriculumPlan(
        patch_sizes=tuple(patch_sizes),
        total_steps=total_steps,
        interval=decision_interval(total_steps, steps_per_epoch),
        warmup_steps=_warmup_steps(warmup, total_steps, steps_per_epoch),
        warmup_level=ShuffleLevel(patch_size, _WARMUP_RATIO),
        min_ratio=min_ratio,
        max_ratio=max_ratio,
        patience=patience,
    )
    return CurriculumController(plan, chosen, threshold=threshold)


def _warmup_steps(share: float, total_steps: int, steps_per_epoch: int) -> int:
    if share <= 0:
        return 0
    wanted = max(round(share * total_steps), steps_per_epoch)
    return max(1, min(wanted, max(total_steps // 4, round(share * total_steps))))
