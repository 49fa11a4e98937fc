from pathlib import Path

import pytest

from segmix_core.runs import RunFolder
from segmix_core.runs.outdated import find_outdated, has_changed, outdated_requests

CHAIN = ("train", "cams", "pseudo-masks", "train-segmenter", "predict", "export")


@pytest.fixture
def chain(tmp_path, request_of):
    """Make a run of every stage that reads the one before; asked for at revision 5."""
    runs_path = tmp_path / "demo.segmix" / "runs"
    made = {}
    for before, stage in zip((None, *CHAIN), CHAIN, strict=False):
        inputs = {before: made[before].path} if before else {}
        request = request_of(stage, inputs=inputs, revision=5)
        made[stage] = RunFolder.create(runs_path, request)
    return made


def stages_of(runs):
    return {run.request().stage for run in runs}


@pytest.mark.parametrize("kind", ["labels", "source", "split", "file"])
def test_labels_outdate_everything(chain, kind):
    assert find_outdated(chain.values(), {kind: 5}) == frozenset()
    assert stages_of(find_outdated(chain.values(), {kind: 6})) == set(CHAIN)


def test_strokes_outdate_a_segmenter_and_what_follows_from_it(chain):
    found = stages_of(find_outdated(chain.values(), {"labels": 5, "mask": 6}))
    assert found == {"train-segmenter", "predict", "export"}


def test_files_that_nobody_accepted_outdate_all_runs(chain):
    assert stages_of(find_outdated(chain.values(), {}, files_changed=True)) == set(
        CHAIN
    )


def test_an_accepted_file_outdates_a_prediction(tmp_path, request_of):
    run = RunFolder.create(tmp_path, request_of("predict", revision=5))
    assert find_outdated([run], {"file": 6}) == {run}
    assert not find_outdated([run], {"file": 5, "labels": 6})


@pytest.mark.parametrize("stage", CHAIN)
@pytest.mark.parametrize("key", ["min_object_um2", "min_hole_um2"])
def test_another_pixel_size_outdates_masks_by_areas(request_of, stage, key):
    config = {"train": {"method": "cam"}, "pseudo_masks": {key: None}}
    assert not has_changed(request_of(stage, config=config), {"mpp": 1})
    config["pseudo_masks"][key] = 0.0
    is_made_of_areas = stage == "pseudo-masks"
    request = request_of(stage, config=config)
    assert has_changed(request, {"mpp": 1}) == is_made_of_areas
    # SegMix+ makes such masks while it trains.
    config["train"]["method"] = "segmix-plus"
    is_made_of_areas |= stage == "train"
    assert has_changed(request, {"mpp": 1}) == is_made_of_areas


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ({"method": "segmix-plus"}, True),
        ({"method": "segmix-plus", "rounds": 0}, False),
        ({"method": "segmix-plus", "epochs": 1}, False),
        ({"method": "segmix"}, False),
        ({}, True),
        ({"method": "of a later version"}, True),
    ],
)
def test_only_a_training_that_learns_from_masks_has_areas(request_of, train, expected):
    config = {"train": train, "pseudo_masks": {"min_object_um2": 10.0}}
    request = request_of("train", config=config)
    assert has_changed(request, {"mpp": 1}) == expected


def test_without_areas_another_pixel_size_outdates_nothing(chain):
    assert not find_outdated(chain.values(), {"mpp": 6})


@pytest.mark.parametrize("kind", ["review", "class"])
def test_other_changes_outdate_nothing(chain, kind):
    assert not find_outdated(chain.values(), {kind: 6})


@pytest.mark.parametrize("stage", CHAIN[1:])
def test_a_newer_run_is_as_old_as_what_it_reads(chain, request_of, stage):
    before = CHAIN[CHAIN.index(stage) - 1]
    inputs = {before: chain[before].path}
    newer = RunFolder.create(
        chain[stage].path.parent, request_of(stage, inputs=inputs, revision=9)
    )
    # It stands before what it reads: the order of the runs does not matter.
    assert newer in find_outdated([newer, *chain.values()], {"labels": 8})
    assert newer not in find_outdated([newer, *chain.values()], {"labels": 5})


def test_a_run_that_is_made_anew_is_up_to_date_with_what_reads_it(chain, request_of):
    runs_path = chain["train"].path.parent
    train = RunFolder.create(runs_path, request_of("train", revision=9))
    inputs = {"train": train.path}
    cams = RunFolder.create(runs_path, request_of("cams", inputs=inputs, revision=9))
    found = find_outdated([*chain.values(), train, cams], {"labels": 8})
    assert found == frozenset(chain.values())


def test_of_a_deleted_run_nothing_is_known(chain):
    del chain["train-segmenter"]
    assert not find_outdated(chain.values(), {"mask": 6})


def test_a_project_that_was_opened_by_another_path_is_the_same(chain, monkeypatch):
    project = chain["train"].path.parents[1]
    monkeypatch.chdir(project)
    runs = [
        RunFolder(Path("..", project.name, "runs", run.name)) for run in chain.values()
    ]
    found = stages_of(find_outdated(runs, {"mask": 6}))
    assert found == {"train-segmenter", "predict", "export"}


def test_changes_before_the_request_are_in_it(request_of):
    request = request_of("train", revision=5)
    assert not has_changed(request, {"labels": 5, "mask": 9})
    assert has_changed(request, {"labels": 5, "mask": 9}, strokes=True)
    assert not has_changed(request, {"labels": 5, "mask": 5}, strokes=True)
    assert has_changed(request, {"labels": 6})
    assert not has_changed(request_of("dream"), {"labels": 6})


def test_runs_of_later_than_a_copy_that_was_put_back(chain):
    assert stages_of(find_outdated(chain.values(), {}, revision=4)) == set(CHAIN)
    assert not find_outdated(chain.values(), {}, revision=5)
    assert has_changed(chain["train"].request(), {}, revision=4)
    assert not has_changed(chain["export"].request(), {}, revision=4)


def test_requests_that_were_read_are_not_read_again(chain, monkeypatch):
    requests = {run: run.request() for run in chain.values()}
    monkeypatch.setattr(RunFolder, "request", None)
    found = outdated_requests(requests, {"labels": 5, "mask": 6})
    assert {requests[run].stage for run in found} == {
        "train-segmenter",
        "predict",
        "export",
    }
