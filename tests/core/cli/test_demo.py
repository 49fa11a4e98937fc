import os

import pytest

from segmix_core.cli import demo, stages
from segmix_core.pipeline import run_stage
from segmix_core.project.store import ProjectStore
from segmix_core.runs import RunState, list_runs
from segmix_core.runs.child import run_child
from segmix_core.runs.writer import RunWriter

SMALL = ["machine.device=cpu", "train.width=8", "cams.flips=false"]
SMALL += ["segmenter.encoder=tu-mobilenetv3_small_050"]
STAGES = ["train", "cams", "pseudo-masks", "train-segmenter", "predict", "export"]


@pytest.fixture
def quick(monkeypatch):
    """The demo's own stages with small networks, in this process."""
    settings = {name: [*given, *SMALL] for name, given in demo._SETTINGS.items()}
    settings["train"].append("train.epochs=2")
    settings["train-segmenter"].append("segmenter.epochs=2")
    monkeypatch.setattr(demo, "_SETTINGS", settings)

    def work(folder):
        run_child(folder, run_stage)
        return os.getpid()

    monkeypatch.setattr(stages, "launch", work)


@pytest.mark.usefixtures("quick")
def test_the_whole_loop_and_again(tmp_path, answer, segmix):
    folder = tmp_path / "demo é [1]"
    code, said = answer("demo", folder, "--size", 512, "--threads", 1)
    assert code == 0
    assert said["project"] == str(folder / "sample.segmix")
    assert set(said["scores"]) == {"pseudo masks", "segmenter"}
    assert 0 <= said["scores"]["segmenter"]["mean_iou"] <= 1
    assert said["seconds"] > 0
    assert (folder / "sample.segmix" / "exports" / "sample.ome.tif").is_file()
    runs = list_runs(folder / "sample.segmix" / "runs")
    assert [run.request().stage for run in runs] == STAGES
    assert {run.state() for run in runs} == {RunState.COMPLETED}
    with ProjectStore.open(folder / "sample.segmix") as store:
        revision = store.revision
    again = segmix("demo", folder, "--size", 512, "--threads", 1)
    assert again.exit_code == 0
    assert "Continuing with" in again.stdout
    assert "napari" in again.stdout
    with ProjectStore.open(folder / "sample.segmix") as store:
        assert store.revision == revision
        assert len(store.sources()) == 1


@pytest.mark.usefixtures("quick")
def test_an_interrupted_demo_goes_on(tmp_path, answer, monkeypatch):
    def interrupt(store, mask):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(demo, "_label", interrupt)
        with pytest.raises((KeyboardInterrupt, ValueError)):
            answer("demo", tmp_path, "--size", 512)
    # Ctrl-C in a stage ends the demo with the exit code of the stage.
    monkeypatch.setattr(RunWriter, "should_stop", _stop)
    code, _ = _run(answer, tmp_path)
    assert code == 3
    with ProjectStore.open(tmp_path / "sample.segmix") as store:
        assert len(store.sources()) == 1
        assert (store.tiles().labels >= 0).any()


def _stop(writer):
    writer.stopped = True
    return True


def _run(answer, folder):
    try:
        return answer("demo", folder, "--size", 512)
    except ValueError:  # A demo that was stopped says nothing as JSON.
        return 3, None


def test_a_folder_that_cannot_be_written_is_named(tmp_path, answer):
    (tmp_path / "file").write_bytes(b"")
    code, said = answer("demo", tmp_path / "file" / "demo")
    assert (code, said["error"]) == (2, "ProjectError")
    assert "Choose a writable folder" in said["remedy"]


def test_the_smallest_size(tmp_path, segmix):
    assert segmix("demo", tmp_path, "--size", 100).exit_code == 2
