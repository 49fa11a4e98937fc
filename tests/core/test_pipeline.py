import numpy as np
import pytest
from PIL import Image

from segmix_core.errors import ConfigError, JobError, ProjectError
from segmix_core.events import CheckpointWritten, Warned
from segmix_core.geometry import Box
from segmix_core.intake import add_paths
from segmix_core.pipeline import run_stage
from segmix_core.project.records import Review
from segmix_core.project.store import ProjectStore
from segmix_core.runs import RunFolder, RunRequest
from segmix_core.runs.writer import RunWriter
from segmix_core.stage_registry import STAGES


@pytest.fixture
def run(tmp_path):
    """Run a stage of an empty project."""
    project = tmp_path / "empty é [1].segmix"
    ProjectStore.create(project, ["a", "b"]).close()

    def attempt(stage, config=None, **changes):
        request = RunRequest(stage, changes.pop("project", project), config or {})
        folder = RunFolder.create(tmp_path / "runs", request)
        with RunWriter(folder) as writer:
            return run_stage(folder.request(), writer)

    return attempt


def test_an_unknown_stage_is_named(run):
    with pytest.raises(JobError, match=r"'dream' is not a valid stage"):
        run("dream")


def test_settings_are_checked_before_anything_else(run):
    with pytest.raises(ConfigError, match=r"train\.epochs"):
        run("train", {"train": {"epochs": 0}})


NO_RUN = {
    "predict": (ProjectError, "no images to predict"),
    # Corrections alone can be exported, and this project has none.
    "export": (JobError, "The project has no masks"),
}


@pytest.mark.parametrize(
    "stage", [stage.name for stage in STAGES.values() if stage.inputs]
)
def test_a_request_has_to_name_the_run_it_reads(run, stage):
    error, message = NO_RUN.get(stage, (ValueError, "names no run of"))
    with pytest.raises(error, match=message):
        run(stage)


def test_an_empty_project_cannot_train(run):
    with pytest.raises(ProjectError, match="project has no images"):
        run("train")


def test_a_project_that_is_gone_is_named(run, tmp_path):
    with pytest.raises(ProjectError, match="nowhere"):
        run("train", project=tmp_path / "nowhere")


@pytest.fixture
def labeled(tmp_path):
    """A project of one tile, labeled, which is too little to train."""
    Image.new("RGB", (32, 32)).save(tmp_path / "tile.png")
    with ProjectStore.create(tmp_path / "p.segmix", ["a", "b"]) as store:
        add_paths(store, [tmp_path / "tile.png"])
        label(store, [1, 0])
        yield store


def label(store, states):
    store.set_labels(store.tiles().ids, np.array([states], np.int8))


def stroke(store):
    (image,) = store.images()
    store.correct_mask(image.id, Box(0, 0, 4, 4), np.ones((4, 4), np.uint8))


def review(store):
    store.set_reviews(store.tiles().ids, Review.ACCEPTED)


@pytest.mark.parametrize(
    ("has_checkpoint", "change", "warnings"),
    [
        (True, lambda store: label(store, [0, 1]), 1),
        (True, lambda store: store.undo(), 1),
        (True, stroke, 1),
        (True, review, 0),
        (False, lambda store: label(store, [0, 1]), 0),
    ],
    ids=["labels", "labels taken back", "strokes", "reviews", "not begun"],
)
def test_a_training_that_goes_on_tells_of_labels_that_changed(
    labeled, has_checkpoint, change, warnings
):
    request = RunRequest("train", labeled.path, revision=labeled.revision)
    folder = RunFolder.create(labeled.runs_path, request)
    with RunWriter(folder) as writer:
        if has_checkpoint:
            writer.emit(CheckpointWritten(step=1, path="checkpoints/last"))
        writer.end("canceled")
    change(labeled)
    with RunWriter(folder) as writer, pytest.raises(ProjectError):
        run_stage(folder.request(), writer)
    told = [event.message for event in folder.events()[0] if isinstance(event, Warned)]
    assert len(told) == warnings
    assert all("continues with the current ones" in message for message in told)


def test_a_stage_tells_of_files_that_changed(labeled):
    (image,) = labeled.images()
    Image.new("RGB", (32, 32), (9, 9, 9)).save(image.path)
    request = RunRequest("train", labeled.path, revision=labeled.revision)
    folder = RunFolder.create(labeled.runs_path, request)
    with RunWriter(folder) as writer, pytest.raises(ProjectError):
        run_stage(folder.request(), writer)
    told = [event.message for event in folder.events()[0] if isinstance(event, Warned)]
    assert [message.split(" on ")[0] for message in told] == ["tile.png has changed"]
