import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_segmix.actions.runs import RunActions
from napari_segmix.model.changes import Topic
from napari_segmix.model.model import Model
from napari_segmix.model.run_info import Job, log_tail, run_report
from segmix_core.errors import JobError
from segmix_core.geometry import Box
from segmix_core.project import journal
from segmix_core.project.records import (
    Change,
    LabelState,
    NewImage,
    SourceKind,
    TilingPlan,
)
from segmix_core.project.store import ProjectStore
from segmix_core.runs import RunFolder, RunRequest, RunState, launch
from segmix_core.settings import RunSettings

STAGES = Path(__file__).parents[1] / "job_stages.py"
CONFIG = RunSettings()


def launch_here(folder):
    return launch(folder, command=[sys.executable, str(STAGES), str(folder.path)])


@pytest.fixture
def store(tmp_path):
    with ProjectStore.create(tmp_path / "demo.segmix", ["tumour", "stroma"]) as opened:
        opened.add_source(
            SourceKind.FOLDER,
            tmp_path,
            "tiles",
            TilingPlan(16, 16),
            [
                NewImage(
                    path=tmp_path / "a.png",
                    height=16,
                    width=16,
                    mpp_y=None,
                    mpp_x=None,
                    downsample=1.0,
                    group="a",
                    boxes=np.array([[0, 0, 16, 16]]),
                    rows=np.array([0]),
                    cols=np.array([0]),
                )
            ],
        )
        yield opened


class Ear:
    """Writes down what is said and emitted."""

    def __init__(self, model, control):
        self.ended, self.previews, self.said = [], [], []
        self.progress = 0
        self.curves = model.runs.curves
        control.ended.connect(self.ended.append)
        control.previews.connect(self.previews.append)
        model.notices.message.connect(lambda text, level: self.said.append(text))
        model.changes.happened.connect(self.on_change)

    def on_change(self, topics):
        self.progress += Topic.PROGRESS in topics

    @property
    def steps(self):
        return self.curves.series["loss"].points()[0].tolist()


@pytest.fixture
def model(store):
    made = Model()
    made.project.take(store)
    return made


@pytest.fixture
def runs(model):
    return model.runs


@pytest.fixture
def control(qtbot, model):
    made = RunActions(model, launch_here)
    made.attach()
    yield made
    made.kill()
    made.detach()
    qtbot.waitUntil(lambda: not made.is_following, timeout=5000)


@pytest.fixture
def ear(model, control):
    return Ear(model, control)


def wait_for(qtbot, condition):
    qtbot.waitUntil(lambda: bool(condition()), timeout=20_000)


def job(behavior="count", stage="train", **inputs):
    return Job(stage, CONFIG, inputs, {"behavior": behavior})


def test_a_run_is_launched_followed_and_ends(qtbot, control, runs, ear):
    control.start(job())
    assert runs.is_running
    wait_for(qtbot, lambda: ear.ended)
    assert ear.ended[0].state is RunState.COMPLETED
    assert ear.ended[0].results == {"steps": 6}
    assert ear.steps == [1, 2, 3, 4, 5, 6]
    assert [info.stage for info in runs.infos] == ["train"]
    assert not runs.is_running


def test_only_the_newest_picture_is_delivered(qtbot, control, runs, ear):
    control.start(job())
    wait_for(qtbot, lambda: ear.ended)
    step, arrays = ear.previews[-1]["shuffled"]
    assert step == 6
    assert arrays["images"].shape == (4, 16, 16, 3)
    assert len(ear.previews) <= 6


def test_deliveries_are_rare(qtbot, control, runs):
    moments = []
    control.previews.connect(lambda previews: moments.append(time.monotonic()))
    ended = []
    control.ended.connect(ended.append)
    control.start(job())
    wait_for(qtbot, lambda: ended)
    # The last delivery comes with the end, whenever that is.
    gaps = np.diff(moments)[:-1]
    assert (gaps > 0.05).all()


def test_stop_ends_the_run_and_resume_goes_on(qtbot, control, runs, ear):
    control.start(job("wait"))
    wait_for(qtbot, lambda: runs.followed.step == 3)
    control.stop()
    wait_for(qtbot, lambda: ear.ended)
    assert ear.ended[0].state is RunState.CANCELED
    assert ear.ended[0].can_resume
    assert not runs.is_stopping
    control.resume(ear.ended[0].path)
    wait_for(qtbot, lambda: len(ear.ended) == 2)
    assert ear.ended[1].state is RunState.COMPLETED
    assert ear.steps == [1, 2, 3, 4, 5, 6]


def test_kill_is_offered_to_the_patient(qtbot, control, runs, ear):
    control._patience = 0.01
    control.start(job("deaf"))
    wait_for(qtbot, lambda: runs.followed.step == 3)
    control.stop()
    wait_for(qtbot, lambda: runs.may_kill)
    assert runs.is_running
    assert runs.is_stopping


def test_a_dead_process_is_an_interrupted_run(qtbot, control, runs, ear):
    control.start(job("die"))
    wait_for(qtbot, lambda: ear.ended)
    assert ear.ended[0].state is RunState.INTERRUPTED
    assert ear.ended[0].can_resume


def test_kill_ends_the_process(qtbot, control, runs, ear):
    control.start(job("wait"))
    wait_for(qtbot, lambda: runs.followed.step == 3)
    control.kill()
    wait_for(qtbot, lambda: ear.ended)
    assert not ear.ended[0].is_running


def test_a_failure_brings_its_hint_and_a_report(qtbot, control, runs, ear):
    control.start(job("fail"))
    wait_for(qtbot, lambda: ear.ended)
    assert ear.ended[0].state is RunState.FAILED
    assert "Choose a smaller batch size." in ear.ended[0].message
    report = run_report(ear.ended[0].path)
    assert "Choose a smaller batch size." in report
    assert '"batch_size": 16' in report
    assert "JobError" in log_tail(ear.ended[0].path)


def test_one_run_at_a_time(qtbot, control, runs):
    control.start(job("wait"))
    with pytest.raises(JobError, match="already in progress"):
        control.start(job())
    with pytest.raises(JobError, match="already in progress"):
        control.resume(runs.followed.path)


def test_a_chain_goes_on_with_what_was_made(qtbot, control, runs, ear):
    control.start(job())
    wait_for(qtbot, lambda: ear.ended)
    control.start(job(stage="cams"), job(stage="pseudo-masks"))
    wait_for(qtbot, lambda: len(ear.ended) == 3)
    masks = RunFolder(ear.ended[2].path).request()
    assert masks.inputs == {"cams": ear.ended[1].path}
    assert runs.latest("pseudo-masks").path == ear.ended[2].path
    assert runs.latest("predict") is None


def test_looking_at_another_run_neither_starts_nor_loses_the_next(
    qtbot, control, runs, ear
):
    control.start(job())
    wait_for(qtbot, lambda: ear.ended)
    old = ear.ended[0].path
    control.start(job("gate"), job(stage="cams"))
    live = runs.followed.path
    control.watch(old)
    wait_for(qtbot, lambda: len(ear.ended) == 2)
    assert ear.ended[1].path == old
    assert runs.followed.path == old
    assert runs.is_running
    with pytest.raises(JobError, match="already in progress"):
        control.start(job())
    assert [info.stage for info in runs.infos] == ["train", "train"]
    (live / "GO").touch()
    wait_for(qtbot, lambda: len(ear.ended) == 4)
    assert [info.stage for info in ear.ended[2:]] == ["train", "cams"]
    assert RunFolder(ear.ended[3].path).request().inputs == {"train": live}
    assert not runs.is_running


def test_a_chain_ends_with_a_failure(qtbot, control, runs, ear):
    control.start(job("fail"), job(stage="cams"))
    wait_for(qtbot, lambda: ear.ended)
    qtbot.wait(50)
    assert len(runs.infos) == 1


def test_a_chained_run_that_cannot_start_is_told(qtbot, control, runs, ear):
    control.start(job(), job(stage="predict"))
    wait_for(qtbot, lambda: any("'train-segmenter'" in text for text in ear.said))


def test_without_project_nothing_starts(qtbot):
    with pytest.raises(JobError, match="No project is open"):
        RunActions(Model(), launch_here).start(job())


def test_a_live_run_is_found_again(qtbot, control, runs, ear, store):
    control.start(job("wait"))
    wait_for(qtbot, lambda: runs.followed.step == 3)
    control.detach()
    assert runs.followed is None
    assert runs.infos == ()
    control.attach()
    assert runs.is_running
    wait_for(qtbot, lambda: ear.curves.series)
    assert ear.previews
    control.stop()
    wait_for(qtbot, lambda: ear.ended)


def test_an_end_is_news_once(qtbot, control, runs, ear):
    control.start(job())
    wait_for(qtbot, lambda: ear.ended)
    control.watch(ear.ended[0].path)
    wait_for(qtbot, lambda: len(ear.ended) == 2)
    assert ear.said.count("Train classifier: completed.") == 1
    assert ear.said.count("The batch was halved.") == 1


def test_threads_that_napari_ends_are_no_end_of_the_run(qtbot, control, runs, ear):
    control.start(job("wait"))
    wait_for(qtbot, lambda: runs.followed.step == 3)
    control._worker.quit()
    wait_for(qtbot, lambda: not control.is_following)
    assert not ear.ended
    assert runs.is_running


def test_a_run_of_another_window_is_in_the_way(qtbot, control, runs, ear, store):
    theirs = Model()
    theirs.project.take(store)
    other = RunActions(theirs, launch_here)
    other.attach()
    other.start(job("wait"))
    wait_for(qtbot, lambda: theirs.runs.followed.step == 3)
    with pytest.raises(JobError, match="already in progress"):
        control.start(job())
    other.stop()
    wait_for(qtbot, lambda: not other.is_following)
    control.start(job())
    wait_for(qtbot, lambda: ear.ended)


def test_an_ended_run_tells_its_history_without_pictures(
    qtbot, control, runs, ear, store
):
    control.start(job())
    wait_for(qtbot, lambda: ear.ended)
    control.detach()
    ear.previews.clear()
    control.attach()
    wait_for(qtbot, lambda: len(ear.ended) == 2)
    assert ear.steps[-1] == 6
    assert not ear.previews
    control.watch(ear.ended[0].path)
    wait_for(qtbot, lambda: ear.previews)


def test_new_labels_make_a_run_outdated(control, model, store):
    ask_for(store, "train")
    assert not outdated(control, model)
    store.add_class("necrosis")
    assert not outdated(control, model)
    label(store, LabelState.PRESENT)
    assert outdated(control, model) == {"train"}


def label(store, state):
    states = np.full((1, 2), LabelState.UNKNOWN, np.int8)
    states[0, 0] = state
    store.set_labels(store.tiles().ids, states)


def outdated(control, model):
    """Return the stages of the outdated runs, after a look at what is stored."""
    control.refresh()
    model.project.reload_history()
    found = model.runs.outdated()
    return {info.stage for info in model.runs.infos if info.path in found}


def ask_for(store, stage, **inputs):
    request = RunRequest(stage, store.path, inputs=inputs, revision=store.revision)
    return RunFolder.create(store.runs_path, request).path


def test_a_run_stays_outdated_whatever_is_done_after_it(control, model, store):
    ask_for(store, "train")
    label(store, LabelState.PRESENT)
    stroke = Change(0, "mask", "Corrected 1 mask pixel")
    with store._database.transaction() as connection:
        for _ in range(1001):
            journal.append(connection, stroke, ())
    assert outdated(control, model) == {"train"}


def test_taking_labels_back_is_a_change_as_well(control, model, store):
    label(store, LabelState.PRESENT)
    ask_for(store, "train")
    assert not outdated(control, model)
    store.undo()
    assert outdated(control, model) == {"train"}


def test_a_run_of_outdated_ones_is_outdated(control, model, store):
    train = ask_for(store, "train")
    label(store, LabelState.PRESENT)
    cams = ask_for(store, "cams", train=train)
    ask_for(store, "pseudo-masks", cams=cams)
    assert outdated(control, model) == {"train", "cams", "pseudo-masks"}


def test_strokes_outdate_a_segmenter_and_its_predictions(control, model, store):
    train = ask_for(store, "train")
    segmenter = ask_for(store, "train-segmenter", train=train)
    store.correct_mask(1, Box(0, 0, 2, 2), np.ones((2, 2), np.uint8))
    ask_for(store, "predict", **{"train-segmenter": segmenter})
    assert outdated(control, model) == {"train-segmenter", "predict"}
