import subprocess
import sys

import pytest

from segmix_core.data.project_tiles import (
    batch_edge,
    labeled_tiles,
    tiles_of,
    working_boxes,
)
from segmix_core.errors import JobError, ProjectError
from segmix_core.geometry import Box
from segmix_core.runs.writer import RunWriter
from segmix_core.settings import RunSettings
from segmix_core.stages.job import Job


@pytest.fixture
def job(slide):
    folder = slide.folder("cams", options={"image_ids": [1, 99]})
    with slide.store() as store:
        yield Job(store, RunSettings(), folder.request(), RunWriter(folder))


def test_a_job_knows_its_images_classes_and_folder(job):
    assert [image.id for image in job.images()] == [1]
    assert job.class_names == ["plain", "striped"]
    assert job.run == job.writer.folder.path
    assert job.input_run("predict", "train").name.endswith("_train")


def test_a_request_of_no_images_is_refused(slide):
    folder = slide.folder("cams", options={"image_ids": 3})
    with (
        slide.store() as store,
        pytest.raises(JobError, match="no valid list of images"),
    ):
        Job(store, RunSettings(), folder.request(), RunWriter(folder)).images()


def test_whoever_launches_a_run_names_its_input(job):
    with pytest.raises(ValueError, match="names no run of predict or export"):
        job.input_run("predict", "export")


def test_boxes_are_on_the_working_grid(job):
    tiles = job.store.tiles()
    boxes = working_boxes(tiles, job.images())
    assert {(box.height, box.width) for box in boxes} == {(64, 64)}
    assert boxes[0] == tiles.box(0).scaled(1 / 2)


def test_batches_hold_the_longest_edge():
    assert batch_edge([Box(0, 0, 30, 20), Box(0, 0, 10, 33)]) == 48
    assert batch_edge([Box(0, 0, 16, 16)]) == 16


def test_only_labeled_tiles_of_training_images_train(folder):
    with folder.store() as store:
        first, second, *_ = store.tiles().ids
        store.set_splits([1], ["test"])
        store.set_labels([second], [[-1, -1]])
        found = labeled_tiles(store)
        assert len(found) == len(store.tiles()) - 2
        assert first not in found.ids
        assert second not in found.ids


def test_without_tiles_there_is_nothing_to_do(job):
    with pytest.raises(ProjectError, match="Add a slide or a folder"):
        tiles_of(job.store, [])


@pytest.mark.parametrize("stage", ["export", "pseudo_masks"])
def test_stages_without_a_network_load_no_torch(stage):
    code = (
        "import sys, segmix_core.pipeline, "
        f"segmix_core.stages.{stage}; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
