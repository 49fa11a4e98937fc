import os
import shlex
import shutil
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from segmix_core.cli import demo, stages
from segmix_core.pipeline import run_stage
from segmix_core.project.store import ProjectStore
from segmix_core.runs import RunState, kill, launch, list_runs
from segmix_core.runs.child import run_child
from segmix_core.runs.writer import RunWriter

SMALL = ["machine.device=cpu", "train.width=8", "cams.flips=false"]
SMALL += ["segmenter.encoder=tu-mobilenetv3_small_050"]
LESS = {"train": ["train.epochs=2"], "train-segmenter": ["segmenter.epochs=1"]}
STAGES = ["train", "cams", "pseudo-masks", "train-segmenter", "predict", "export"]


def smaller(stage):
    """Return a stage of the demo with small networks."""
    given = [*stage.settings, *SMALL, *LESS.get(stage.name, [])]
    # A setting that is given twice has the value that came last.
    pairs = dict(text.split("=", 1) for text in given)
    return replace(stage, settings=tuple(f"{k}={v}" for k, v in pairs.items()))


@pytest.fixture
def quick(monkeypatch):
    """The demo's own stages with small networks, in this process."""

    def work(folder):
        run_child(folder, run_stage)
        return os.getpid()

    monkeypatch.setattr(demo, "_STAGES", tuple(map(smaller, demo._STAGES)))
    monkeypatch.setattr(stages, "launch", work)


@pytest.mark.usefixtures("quick")
def test_the_whole_loop_and_again(tmp_path, answer, segmix):
    folder = tmp_path / "demo é [1]"
    code, said = answer("demo", folder, "--size", 512, "--threads", 1)
    assert code == 0
    project = folder / "sample.segmix"
    assert said["project"] == str(project)
    assert set(said["scores"]) == {"pseudo masks", "segmenter"}
    assert 0 <= said["scores"]["segmenter"]["mean_iou"] <= 1
    assert said["seconds"] > 0
    export = project / "exports" / "sample.ome.tif"
    assert export.is_file()
    runs = list_runs(project / "runs")
    assert [run.request().stage for run in runs] == STAGES
    assert {run.state() for run in runs} == {RunState.COMPLETED}
    with ProjectStore.open(project) as store:
        revision = store.revision
    # A run of the user's own settings is not taken for one of the demo.
    own = [word for text in SMALL for word in ("--set", text)]
    assert answer("train", project, "--epochs", 1, *own)[0] == 0
    runs = list_runs(project / "runs")

    again = segmix("demo", folder, "--size", 512)
    assert again.exit_code == 0
    assert "Continuing with" in again.stdout
    assert again.stdout.count("done before") == len(STAGES)
    with ProjectStore.open(project) as store:
        assert store.revision == revision
        assert len(store.sources()) == 1
    assert list_runs(project / "runs") == runs
    # What is printed can be typed, in any folder.
    line = next(text for text in again.stdout.splitlines() if "napari" in text)
    program, shown = shlex.split(line.partition(": ")[2])
    assert shutil.which(program) is not None
    assert Path(shown) == project

    # What is gone is made again, and what was made of it.
    export.unlink()
    assert segmix("demo", folder).stdout.count("done before") == len(STAGES) - 2
    assert export.is_file()


@pytest.mark.usefixtures("quick")
def test_new_labels_make_all_runs_anew(tmp_path, segmix):
    assert segmix("demo", tmp_path, "--size", 512).exit_code == 0
    project = tmp_path / "sample.segmix"
    with ProjectStore.open(project) as store:
        tiles = store.tiles()
        store.set_labels(tiles.ids[:1], 1 - tiles.labels[:1])
    assert "done before" not in segmix("demo", tmp_path).stdout
    assert len(list_runs(project / "runs")) == 2 * len(STAGES)


@pytest.mark.usefixtures("quick")
def test_an_interrupted_demo_goes_on(tmp_path, answer, segmix, monkeypatch):
    def interrupt(store, mask):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(demo, "_label", interrupt)
        with pytest.raises((KeyboardInterrupt, ValueError)):
            answer("demo", tmp_path, "--size", 512)
    # Ctrl-C in a stage ends the demo with the exit code of the stage.
    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "should_stop", _stop)
        code, said = answer("demo", tmp_path)
        assert (code, said["stage"], said["state"]) == (3, "train", "canceled")
        stopped = segmix("demo", tmp_path)
    assert stopped.exit_code == 3
    assert f"demo {shlex.quote(str(tmp_path))}" in stopped.stdout
    with ProjectStore.open(tmp_path / "sample.segmix") as store:
        assert len(store.sources()) == 1
        assert (store.tiles().labels >= 0).any()
    [run] = list_runs(tmp_path / "sample.segmix" / "runs")

    # The process of a run outlives a demo that is killed.
    work = Path(__file__).parents[1] / "runs" / "stages.py"
    launch(run, command=[sys.executable, str(work), "deaf", str(run.path)])
    while run.status().process is None:
        time.sleep(0.02)
    end = threading.Timer(1.0, partial(kill, run, grace_seconds=0))
    end.start()
    followed = segmix("demo", tmp_path)
    end.join()
    assert followed.exit_code == 1
    assert f"train: still running ({run.name})." in followed.stdout
    assert run.state() is RunState.INTERRUPTED

    said = segmix("demo", tmp_path)
    assert said.exit_code == 0
    assert f"train: resuming {run.name}." in said.stdout
    assert list_runs(tmp_path / "sample.segmix" / "runs")[0] == run
    assert run.state() is RunState.COMPLETED


def _stop(writer):
    writer.stopped = True
    return True


def test_a_folder_that_cannot_be_written_is_named(tmp_path, answer):
    (tmp_path / "file").write_bytes(b"")
    code, said = answer("demo", tmp_path / "file" / "demo")
    assert (code, said["error"]) == (2, "ProjectError")
    assert "Choose a writable folder" in said["hint"]


def test_the_smallest_size(tmp_path, segmix):
    assert segmix("demo", tmp_path, "--size", 100).exit_code == 2
