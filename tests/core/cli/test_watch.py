import io

import pytest
from rich.console import Console

from segmix_core import events
from segmix_core.cli.voice import Voice
from segmix_core.cli.watch import _progress, _Screen, time_left


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.4, "0 s left"),
        (59.6, "1 min 00 s left"),
        (125, "2 min 05 s left"),
        (7500, "2 h 05 min left"),
    ],
)
def test_time_is_told_as_people_do(seconds, text):
    assert time_left(seconds) == text


def test_a_reader_sees_loss_curriculum_and_warnings(capsys):
    voice = Voice()
    voice.console = Console(
        file=io.StringIO(), width=200, force_terminal=True, highlight=False
    )
    decided = events.CurriculumDecided(
        step=5,
        patch_size=32,
        shuffle_ratio=0.25,
        feedback=0.4,
        threshold=0.5,
        reason="loss below threshold [0.5]",
    )
    with _progress(voice) as progress:
        screen = _Screen(voice, progress, "train")
        for event in (
            events.StageStarted(
                stage="train", total_steps=9, device="cpu", resumed_at=2
            ),
            events.Progress(step=3, total=9, seconds_left=61),
            events.Metrics(step=3, epoch=0, values={"loss": 0.51234, "extra": 1.0}),
            decided,
            events.Warned(message="smaller batches [8]"),
            events.CheckpointWritten(step=3, path="checkpoints/last"),
        ):
            screen.show(event)
        progress.refresh()
    shown = voice.console.file.getvalue()
    for text in (
        "train: 9 steps on cpu, from step 2",
        "3/9",
        "1 min 01 s left",
        "loss 0.5123",
        "patch size 32 px, shuffle ratio 0.25 (loss below threshold [0.5])",
    ):
        assert text in shown
    assert "extra" not in shown
    assert "Warning: smaller batches [8]" in capsys.readouterr().err


def test_tables_keep_square_brackets():
    voice = Voice()
    voice.console = Console(file=io.StringIO(), width=80)
    voice.table("Sources", ["name", "tiles"], [["slide [1]", 12]])
    assert "slide [1]" in voice.console.file.getvalue()
