import pytest

from segmix_core.errors import JobError
from segmix_core.runs import RunFolder, RunState, RunStatus, find_inputs, find_run
from segmix_core.runs.writer import write_status


@pytest.fixture
def finished(tmp_path, request_of):
    def make(stage, created=1e9):
        folder = RunFolder.create(tmp_path, request_of(stage, created=created))
        write_status(folder, RunStatus(state=RunState.COMPLETED))
        return folder

    return make


def test_training_reads_no_run(tmp_path, finished):
    assert find_inputs(tmp_path, "train") == {}
    with pytest.raises(JobError, match="Leave it out"):
        find_inputs(tmp_path, "train", finished("cams"))


def test_the_newest_completed_run_is_read(tmp_path, finished):
    finished("train")
    newer = finished("train", 2e9)
    assert find_inputs(tmp_path, "cams") == {"train": newer.path}


def test_predictions_are_exported_before_pseudo_masks(tmp_path, finished):
    masks = finished("pseudo-masks", 2e9)
    assert find_inputs(tmp_path, "export") == {"pseudo-masks": masks.path}
    predicted = finished("predict")
    assert find_inputs(tmp_path, "export") == {"predict": predicted.path}
    assert find_inputs(tmp_path, "export", masks) == {"pseudo-masks": masks.path}


def test_a_missing_or_wrong_run_says_what_to_do(tmp_path, finished):
    with pytest.raises(JobError, match="Run 'segmix cams' first"):
        find_inputs(tmp_path, "pseudo-masks")
    with pytest.raises(JobError, match="cannot read"):
        find_inputs(tmp_path, "pseudo-masks", finished("train"))


def test_corrections_are_exported_without_a_run(tmp_path, finished):
    with pytest.raises(JobError, match="needs a completed run of 'predict'"):
        find_inputs(tmp_path, "export")
    assert find_inputs(tmp_path / "none", "export", has_corrections=True) == {}
    with pytest.raises(JobError, match="needs a completed run"):
        find_inputs(tmp_path, "train-segmenter", has_corrections=True)
    masks = finished("pseudo-masks")
    found = find_inputs(tmp_path, "export", has_corrections=True)
    assert found == {"pseudo-masks": masks.path}


def test_an_unknown_stage_is_a_mistake(tmp_path):
    with pytest.raises(ValueError, match="nonsense"):
        find_inputs(tmp_path, "nonsense")


def test_a_run_is_found_by_name_or_path(tmp_path, finished):
    run = finished("train")
    assert find_run(tmp_path, run.name) == run
    assert find_run(tmp_path / "other", run.path) == run
    with pytest.raises(JobError, match=f"newest runs are {run.name}"):
        find_run(tmp_path, "none")
