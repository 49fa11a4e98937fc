"""Words about runs, and the badge of the device."""

import pytest

from napari_segmix.widgets import run_texts
from napari_segmix.widgets.device_badge import DeviceBadge
from segmix_core.doctor import Check, Verdict


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
    badge = DeviceBadge(session)
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
    assert run_texts.stage_title("evaluate") == "evaluate"
