"""Words about runs, and the badge of the device."""

from pathlib import Path

import pytest

from napari_segmix.model.run_info import RunInfo, stage_title
from napari_segmix.widgets import run_texts
from napari_segmix.widgets.device_badge import DeviceBadge
from napari_segmix.widgets.run_texts import progress_text
from segmix_core.doctor import Check, Verdict
from segmix_core.events import Progress
from segmix_core.runs import RunState


@pytest.mark.parametrize(
    ("message", "verdict", "text"),
    [
        ("2.15 on cpu, Python 3.11", Verdict.OK, "CPU"),
        ("2.15 on cpu, cuda:0 (H200), Python 3.11", Verdict.OK, "GPU"),
        ("2.15 on cpu, mps, Python 3.11", Verdict.OK, "GPU"),
        ("No module named 'torch'", Verdict.FAIL, "no torch"),
    ],
)
def test_badge(qtbot, session, message, verdict, text):
    badge = DeviceBadge(session.model, session.actions)
    qtbot.addWidget(badge)
    badge.show_check(Check("torch", verdict, message, "Install it."))
    assert badge.text() == text
    assert message in badge.toolTip()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (40, "40 s"), (170, "3 min"), (7500, "2 h 5 min")],
)
def test_duration_text(seconds, text):
    assert run_texts.duration_text(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(10, "1 kB"), (3_400_000, "3.4 MB")])
def test_size_text(size, text):
    assert run_texts.size_text(size) == text


def test_unknown_stages_keep_their_name():
    assert stage_title("evaluate") == "evaluate"


def running(**facts):
    """A run at work."""
    return RunInfo(
        path=Path("run"),
        stage="train",
        state=RunState.RUNNING,
        created=0.0,
        config={},
        results={},
        **{"step": 624, "total": 936, "seconds_left": 60.0, "message": "", **facts},
    )


@pytest.mark.parametrize(
    ("info", "text"),
    [
        (running(message="epoch 3"), "step 624 of 936, 1 min left"),
        (running(seconds_left=None), "step 624 of 936"),
        (running(total=0, seconds_left=None), "starting"),
        (
            running(seconds_left=None, message="masks for the next network: tile 5"),
            "masks for the next network: tile 5",
        ),
    ],
)
def test_progress_says_what_is_going_on(info, text):
    assert progress_text(info) == text


def test_what_an_event_says_is_newer_than_the_status():
    news = Progress(step=625, total=936, message="masks for the next network: tile 6")
    assert progress_text(running().at(news)) == news.message
