from dataclasses import replace

import pytest

from segmix_core.curriculum.level import ShuffleLevel
from segmix_core.curriculum.schedule import make_strategy
from segmix_core.curriculum.state import (
    CurriculumPlan,
    CurriculumState,
    decision_interval,
)
from tests.reference import schedule as reference

PLAN = CurriculumPlan(
    patch_sizes=(32, 16, 8),
    total_steps=110,
    interval=10,
    warmup_steps=10,
    warmup_level=ShuffleLevel(16, 0.5),
    min_ratio=0.10,
    max_ratio=0.75,
    patience=4,
)
FIXED = ShuffleLevel(16, 0.3)


def state_at(step, size=16, ratio=0.4, **changes):
    return CurriculumState(level=ShuffleLevel(size, ratio), step=step, **changes)


def with_loss(loss, **changes):
    return state_at(50, loss_sum=loss * 2, loss_weight=2.0, **changes)


def test_low_loss_makes_it_harder():
    move = make_strategy("hold", fixed_level=FIXED).decide(
        PLAN, with_loss(0.4, threshold=0.5, held=3)
    )
    assert move.state.level == ShuffleLevel(8, 1 - 0.9 * 0.6)
    assert move.state.threshold == pytest.approx(0.5 * 0.933)
    assert move.state.held == 0
    assert move.reason == "Loss 0.400 is below 0.500: harder."


def test_hold_waits():
    state = with_loss(0.5, threshold=0.5)
    hold = make_strategy("hold", fixed_level=FIXED).decide(PLAN, state)
    assert hold.state == replace(state, held=1)
    assert hold.reason.endswith("the level stays (1 of 4).")


def test_no_dead_lock_the_plan_takes_over_and_is_never_easier():
    strategy = make_strategy("hold", fixed_level=FIXED)
    stuck = replace(state_at(60, 32, 0.1), held=4, threshold=0.1)
    moved = strategy.decide(PLAN, replace(stuck, loss_sum=1, loss_weight=1))
    assert moved.state.level == ShuffleLevel(16, PLAN.planned_ratio(60))
    assert moved.state.held == 0
    assert "planned level" in moved.reason
    assert strategy.decide(PLAN, stuck).reason.startswith("No loss was seen")
    ahead = replace(stuck, level=ShuffleLevel(8, 0.7), loss_sum=1, loss_weight=1)
    moved = strategy.decide(PLAN, ahead)
    assert moved.state.level == ahead.level
    assert "nothing harder" in moved.reason


def test_threshold_comes_from_the_first_loss_without_warmup():
    move = make_strategy("hold", fixed_level=FIXED).decide(PLAN, with_loss(0.4))
    assert move.state.threshold == pytest.approx(0.4)


def test_the_hardest_level_keeps_its_threshold():
    state = with_loss(0.1, threshold=0.5)
    state = replace(state, level=ShuffleLevel(8, 0.75))
    move = make_strategy("hold", fixed_level=FIXED).decide(PLAN, state)
    assert move.state.threshold == 0.5
    assert "hardest" in move.reason


def test_fixed_keeps_its_level():
    strategy = make_strategy("fixed", fixed_level=FIXED)
    levels = [
        strategy.decide(PLAN, state_at(step)).state.level for step in (10, 60, 110)
    ]
    assert [strategy.begin(PLAN), *levels] == [FIXED] * 4


def test_an_unknown_strategy():
    with pytest.raises(ValueError, match="'none'"):
        make_strategy("none", fixed_level=FIXED)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patch_sizes": ()}, "no patch sizes"),
        ({"patch_sizes": (8, 16)}, "must decrease"),
        ({"min_ratio": 0.8}, "max_ratio"),
        ({"interval": 0}, "at least 1"),
    ],
)
def test_impossible_plans(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(PLAN, **changes)


@pytest.mark.parametrize(
    ("total", "epoch", "expected"),
    [(20, 5, 4), (100, 25, 4), (1560, 195, 50), (8000, 1000, 250), (2400, 2400, 100)],
)
def test_interval(total, epoch, expected):
    assert decision_interval(total, epoch) == expected


@pytest.mark.parametrize("step", [10, 40, 60, 82, 110])
@pytest.mark.parametrize("loss", [0.4, 0.5])
def test_cellmix_is_the_plan_or_one_level_ahead(step, loss):
    # The level before plays no part: unlike "hold", nothing that was won is kept.
    state = replace(with_loss(loss, threshold=0.5, held=2), step=step)
    move = make_strategy("cellmix", fixed_level=FIXED).decide(PLAN, state)
    size, ratio = reference.cellmix_level(
        PLAN.patch_sizes, progress=(step - 10) / 100, is_low=loss < 0.5
    )
    assert move.state.level.patch_size == size
    assert move.state.level.shuffle_ratio == pytest.approx(ratio)
    lower = 0.933 if loss < 0.5 else 1
    assert move.state.threshold == pytest.approx(0.5 * lower)
    assert ("ahead of the plan" in move.reason) == (loss < 0.5)


def test_cellmix_without_a_threshold_takes_the_first_loss():
    strategy = make_strategy("cellmix", fixed_level=FIXED)
    assert strategy.begin(PLAN) == ShuffleLevel(32, 0.1)
    assert strategy.decide(PLAN, with_loss(0.4)).state.threshold == 0.4
    assert strategy.decide(PLAN, state_at(50)).state.threshold is None
