import json
import math

import pytest

from segmix_core.curriculum.feedback import make_controller
from segmix_core.curriculum.level import ShuffleLevel
from segmix_core.errors import ConfigError
from segmix_core.events import CurriculumDecided, from_line, to_line
from tests.reference import schedule as reference

SIZES = (112, 56, 32, 16)


def controller(strategy="hold", **changes):
    settings = {"tile_px": 224, "total_steps": 240, "steps_per_epoch": 30}
    return make_controller(strategy, SIZES, **{**settings, **changes})


def falling_loss(step, size, ratio):
    noise = 0.05 * math.sin(7 * step)
    return 0.9 * math.exp(-step / 80) + 0.2 * ratio + 2 / size + noise


def test_levels_equal_the_plain_loop():
    subject = controller()
    levels = []
    for step in range(240):
        level = subject.level
        levels.append((level.patch_size, level.shuffle_ratio))
        subject.observe(falling_loss(step, *levels[-1]))
    expected = reference.follow(
        SIZES,
        falling_loss,
        total=240,
        warmup=30,
        interval=10,
        start=(32, 0.5),
    )
    assert [size for size, _ in levels] == [size for size, _ in expected]
    assert [ratio for _, ratio in levels] == pytest.approx(
        [ratio for _, ratio in expected]
    )


def test_decisions_are_events_at_the_interval():
    subject = controller()
    events = [subject.observe(1 - step / 240) for step in range(240)]
    steps = [step + 1 for step, event in enumerate(events) if event]
    assert steps == list(range(30, 241, 10))
    first = events[29]
    assert isinstance(first, CurriculumDecided)
    # The first half of warm-up does not count.
    mean = sum(1 - step / 240 for step in range(15, 30)) / 15
    assert first.threshold == pytest.approx(mean)
    assert (first.patch_size, first.shuffle_ratio) == (112, 0.1)
    assert "Warm-up ends" in first.reason
    assert from_line(to_line(first).encode()) == first


def test_a_threshold_is_lowered_once_a_decision_not_once_a_step():
    subject = controller(threshold=0.5)
    for _ in range(30 + 10):
        subject.observe(0.1)
    assert subject.state.threshold == pytest.approx(0.5 * 0.933)


def test_an_event_has_the_loss_that_was_decided_on():
    subject = controller(threshold=0.5)
    events = [
        subject.observe(0.9 if step < 30 else 0.4 - step / 400) for step in range(40)
    ]
    harder = events[39]
    assert f"Loss {harder.feedback:.3f} is below 0.500" in harder.reason
    assert events[29].feedback == pytest.approx(0.9)
    # All ten losses of the level count, the newest most.
    shares = [0.1 * 0.9 ** (39 - step) for step in range(30, 40)]
    mean = sum(
        s * (0.4 - step / 400) for s, step in zip(shares, range(30, 40), strict=True)
    )
    assert harder.feedback == pytest.approx(mean / sum(shares))


def test_loss_of_another_level_is_forgotten():
    subject = controller(threshold=0.5)
    for _ in range(40):
        subject.observe(0.1)
    assert subject.state.feedback is None
    subject.observe(0.4)
    assert subject.state.feedback == pytest.approx(0.4)


def test_weights_and_losses_that_are_not_finite():
    subject = controller(warmup=0)
    subject.observe(1.0, weight=3.0)
    subject.observe(2.0, weight=0.0)
    assert subject.state.feedback == pytest.approx(1.0)
    for bad in (math.nan, math.inf):
        subject.observe(bad)
    assert subject.state.feedback == pytest.approx(1.0)
    assert subject.state.step == 4


@pytest.mark.parametrize("strategy", ["hold", "cellmix", "fixed"])
def test_resume_equals_an_unbroken_run(strategy):
    whole, part = controller(strategy), controller(strategy)
    for step in range(240):
        if step == 97:
            saved = json.loads(json.dumps(part.state_dict()))
            part = controller(strategy)
            part.load_state_dict(saved)
        loss = falling_loss(step, whole.level.patch_size, whole.level.shuffle_ratio)
        assert whole.level == part.level
        whole.observe(loss)
        part.observe(loss)
    assert whole.state == part.state


def test_states_that_do_not_fit():
    saved = controller().state_dict()
    with pytest.raises(ValueError, match="state of a curriculum"):
        controller().load_state_dict({"step": 3})
    with pytest.raises(ValueError, match="state of a curriculum"):
        controller().load_state_dict({**saved, "color": 1})
    saved["level"]["patch_size"] = 99
    with pytest.raises(ValueError, match="not 99"):
        controller().load_state_dict(saved)


def test_fixed_keeps_its_level_from_the_first_step_and_says_nothing():
    subject = controller("fixed", fixed_ratio=0.25, patch_size=56)
    assert all(subject.observe(0.1) is None for _ in range(240))
    assert subject.level == ShuffleLevel(56, 0.25)


@pytest.mark.parametrize(
    ("total", "epoch", "share", "expected"),
    [
        (240, 30, 0.1, 30),
        (240, 30, 0.5, 120),
        (100, 100, 0.1, 25),
        (100, 25, 0.0, 0),
        (3, 3, 0.1, 1),
    ],
)
def test_length_of_warmup(total, epoch, share, expected):
    subject = controller(total_steps=total, steps_per_epoch=epoch, warmup=share)
    assert subject.plan.warmup_steps == expected
    start = ShuffleLevel(32, 0.5) if expected else ShuffleLevel(112, 0.1)
    assert subject.level == start


def test_ratios_and_patience_are_used():
    subject = controller(min_ratio=0.2, max_ratio=0.6, patience=2, warmup=0)
    assert subject.level.shuffle_ratio == 0.2
    for _ in range(240):
        subject.observe(0.5)
    assert subject.level.patch_size == 16
    assert 0.5 < subject.level.shuffle_ratio <= 0.6


def test_a_short_run_still_decides():
    subject = controller(total_steps=100, steps_per_epoch=25)
    decisions = sum(subject.observe(0.5) is not None for _ in range(100))
    assert decisions == 19


def test_settings_that_do_not_fit():
    with pytest.raises(ConfigError, match="112, 56, 32, 16"):
        controller(patch_size=24)
    with pytest.raises(ValueError, match="threshold must be > 0"):
        controller(threshold=0)
