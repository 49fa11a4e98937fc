import json
import shutil

import pytest

from segmix_core.errors import JobError
from segmix_core.events import StageEnded
from segmix_core.runs import (
    RunFolder,
    RunState,
    RunStatus,
    RunWriter,
    find_latest,
    list_runs,
)
from segmix_core.runs.request import RunRequest
from segmix_core.runs.writer import write_status


def test_the_request_comes_back(tmp_path, request_of):
    project = tmp_path / "demo.segmix"
    request = request_of(
        "cams",
        config={"cams": {"flips": False}},
        inputs={"train": project / "runs" / "a", "mask": tmp_path / "elsewhere"},
        options={"image_ids": [1, 2]},
        revision=7,
    )
    folder = RunFolder.create(project / "runs", request)
    assert folder.request() == request
    assert folder.name.endswith("_cams")


def test_a_project_moves_with_its_runs(tmp_path, request_of):
    project = tmp_path / "demo.segmix"
    runs = project / "runs"
    trained = RunFolder.create(runs, request_of())
    cams = RunFolder.create(runs, request_of("cams", inputs={"train": trained.path}))
    moved = tmp_path / "moved.segmix"
    shutil.move(project, moved)
    found = RunFolder(moved / "runs" / cams.name)
    assert found in list_runs(moved / "runs")
    assert found.request().project == moved
    assert found.request().inputs["train"] == moved / "runs" / trained.name


def test_runs_of_the_same_second_get_names_of_their_own(tmp_path, request_of):
    made = [RunFolder.create(tmp_path, request_of(created=1e9)) for _ in range(11)]
    assert len({folder.path for folder in made}) == 11
    assert made[10].name.endswith("_train-11")


def test_runs_are_listed_by_age_and_other_folders_skipped(tmp_path, request_of):
    assert list_runs(tmp_path / "none") == ()
    later = RunFolder.create(tmp_path, request_of(created=2e9))
    sooner = RunFolder.create(tmp_path, request_of("cams", created=1e9))
    (tmp_path / "notes").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{}")
    assert list_runs(tmp_path) == (sooner, later)


def test_the_latest_run_of_a_stage_must_have_been_completed(tmp_path, request_of):
    made = [RunFolder.create(tmp_path, request_of(created=1e9 + n)) for n in range(3)]
    assert find_latest(tmp_path, "train") is None
    for folder, state in zip(made, ["completed", "completed", "failed"], strict=True):
        write_status(folder, RunStatus(state=RunState(state)))
    assert find_latest(tmp_path, "train") == made[1]
    assert find_latest(tmp_path, "cams") is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 1, "stage": 3}'])
def test_a_folder_of_no_run_is_an_error(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(JobError):
        RunFolder(tmp_path).request()


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(JobError, match="Choose a folder inside"):
        RunFolder(tmp_path / "none").request()


def test_a_run_of_a_newer_segmix_is_an_error(folder):
    config = folder.path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"version": 99}))
    with pytest.raises(JobError, match="Update SegMix"):
        folder.request()


def test_a_stage_must_be_a_name(tmp_path):
    with pytest.raises(ValueError, match="stage name"):
        RunRequest("../train", tmp_path)


def test_runs_below_a_file_are_an_error(tmp_path, request_of):
    (tmp_path / "runs").write_text("")
    with pytest.raises(JobError, match="Free disk space"):
        RunFolder.create(tmp_path / "runs", request_of())


def test_the_log_tail_is_short_and_may_be_missing(folder):
    assert folder.log_tail() == ""
    folder.log_path.write_bytes(b"a\nb\n\xff\n" + b"c\n")
    assert folder.log_tail(2) == "\ufffd\nc"


def test_an_unreadable_status_leaves_the_word_to_the_events(folder):
    for content in ("", "[]", '{"state": "asleep"}'):
        folder.status_path.write_text(content)
        assert folder.state() is RunState.INTERRUPTED


def test_the_last_event_decides_before_the_last_status_is_written(folder):
    with RunWriter(folder) as writer:
        writer.emit(StageEnded(reason="completed"))
        assert folder.status().state is RunState.RUNNING
        assert folder.state() is RunState.COMPLETED
