import io
import json

import pytest
from rich.console import Console as RichConsole

from segmix_core import events
from segmix_core.cli.console import Console
from segmix_core.cli.watch import _progress, _Screen, report, time_left
from segmix_core.runs import RunFolder, RunRequest, RunWriter
from segmix_core.runs.child import EXIT_ERROR


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.4, "0 s left"),
        (99, "99 s left"),
        (125, "2 min left"),
        (3599, "1 h 00 min left"),
        (7500, "2 h 05 min left"),
    ],
)
def test_time_is_told_as_people_do(seconds, text):
    assert time_left(seconds) == text


def test_a_reader_sees_loss_curriculum_and_warnings(capsys):
    console = Console()
    console.out = RichConsole(
        file=io.StringIO(), width=80, force_terminal=True, highlight=False
    )
    values = {"loss": 0.51234, "extra": 1.0, "patch_size": 32, "shuffle_ratio": 0.25}
    decided = events.CurriculumDecided(
        step=5,
        patch_size=32,
        shuffle_ratio=0.25,
        feedback=0.4,
        threshold=0.5,
        reason="loss below threshold [0.5]",
    )
    with _progress(console) as progress:
        screen = _Screen(console, progress, "train")
        for event in (
            events.StageStarted(
                stage="train", total_steps=9, device="cpu", resumed_at=2
            ),
            events.Progress(step=3, total=9, seconds_left=61),
            events.Metrics(step=3, epoch=0, values=values),
            decided,
            events.SettingFitted(
                setting="pseudo_masks.background_score",
                value=0.35,
                measure="mean IoU",
                score=0.7,
                tiles=3,
            ),
            events.Warned(message="smaller batches [8]"),
            events.CheckpointWritten(step=3, path="checkpoints/last"),
        ):
            screen.show(event)
        progress.refresh()
    shown = console.out.file.getvalue()
    for text in (
        "train: 9 steps on cpu, from step 2",
        "3/9",
        "61 s left",
        "loss 0.5123  patch 32  ratio 0.25",
        "patch size 32 px, shuffle ratio 0.25 (loss below threshold [0.5])",
        "pseudo_masks.background_score: 0.35, chosen on 3 tiles of val",
    ):
        assert text in shown
    assert "extra" not in shown
    assert "Warning: smaller batches [8]" in capsys.readouterr().err


def test_what_events_have_told_is_not_told_again(tmp_path):
    folder = RunFolder.create(tmp_path, RunRequest("pseudo-masks", tmp_path / "a"))
    with RunWriter(folder) as writer:
        writer.end("completed", "", {"tiles": 3, "gates": {"gland": {"gate": 0.4}}})
    console = Console()
    console.out = RichConsole(file=io.StringIO(), width=200)
    assert report(folder, console) == 0
    shown = console.out.file.getvalue()
    assert "tiles: 3" in shown
    assert "gland" not in shown


def test_a_log_file_gets_a_line_now_and_then():
    console = Console()
    console.out = RichConsole(file=io.StringIO(), width=200, force_terminal=False)
    with _progress(console) as progress:
        screen = _Screen(console, progress, "train")
        for step in range(1, 31):
            moment = 1e9 + step
            screen.show(events.Metrics(step=step, epoch=0, values={"loss": 2.0}))
            screen.show(events.Progress(step=step, total=30, message="a", time=moment))
    lines = [
        line for line in console.out.file.getvalue().splitlines() if "step" in line
    ]
    assert lines == [f"step {step}/30, a, loss 2" for step in (1, 11, 21)]


def between_networks(is_terminal):
    """Return what is shown while masks for the next network are made."""
    console = Console()
    console.out = RichConsole(
        file=io.StringIO(), width=80, force_terminal=is_terminal, highlight=False
    )
    with _progress(console) as progress:
        screen = _Screen(console, progress, "train")
        screen.show(events.StageStarted(stage="train", total_steps=936))
        values = {"loss": 0.25, "patch_size": 8, "shuffle_ratio": 0.75}
        screen.show(events.Metrics(step=624, epoch=7, values=values))
        screen.show(events.Progress(step=624, total=936, message="epoch 8", time=1e9))
        progress.refresh()
        before = len(console.out.file.getvalue())
        text = "masks for the next network: tile 1341 of 99621"
        screen.show(events.Progress(step=624, total=936, message=text, time=1e9 + 60))
        progress.refresh()
        return console.out.file.getvalue()[before:]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_is_going_on_between_two_networks_is_shown(is_terminal):
    shown = between_networks(is_terminal)
    assert "masks for the next network: tile 1341" in shown
    assert "0.25" not in shown


def test_tables_keep_square_brackets():
    console = Console()
    console.out = RichConsole(file=io.StringIO(), width=80)
    console.table("Sources", ["name", "tiles"], [["slide [1]", 12]])
    assert "slide [1]" in console.out.file.getvalue()


@pytest.mark.parametrize("count", [1, 2, 298])
def test_many_files_are_a_number_and_a_folder(tmp_path, capsys, count):
    request = RunRequest("export", tmp_path / "a.segmix")
    folder = RunFolder.create(tmp_path / "a.segmix" / "runs", request)
    files = [f"/data/exports/mask {n}.tif" for n in range(count)]
    with RunWriter(folder) as writer:
        writer.end("completed", "", {"files": files})
    assert report(folder, Console()) == 0
    said = capsys.readouterr().out.splitlines()
    several = f"files: {count} in /data/exports"
    assert said[0] == ("files: /data/exports/mask 0.tif" if count == 1 else several)
    assert report(folder, Console(as_json=True)) == 0
    assert json.loads(capsys.readouterr().out)["results"]["files"] == files


@pytest.mark.parametrize("count", [1, 7])
def test_images_that_failed_are_named_and_are_no_success(tmp_path, capsys, count):
    request = RunRequest("export", tmp_path / "a.segmix")
    folder = RunFolder.create(tmp_path / "a.segmix" / "runs", request)
    failed = {f"slides/s{n}.svs": "it is damaged" for n in range(count)}
    with RunWriter(folder) as writer:
        writer.end("completed", "", {"files": ["x.tif"], "failed": failed})
    assert report(folder, Console()) == EXIT_ERROR
    said = capsys.readouterr()
    assert "x.tif" in said.out
    told = {
        1: "1 image failed: s0.svs (it is damaged).",
        7: "s4.svs (it is damaged) and 2",
    }
    assert told[count] in said.err


def test_nothing_printed_can_color_a_terminal(capsys):
    console = Console()
    console.say("a\x1b[31mb")
    console.warn("a\udcffb")
    said = capsys.readouterr()
    assert r"a\x1b[31mb" in said.out
    assert r"a\udcffb" in said.err
