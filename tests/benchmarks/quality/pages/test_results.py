import json

import pytest

from benchmarks.quality.methods import METHODS
from benchmarks.quality.pages.results import TITLES, Results, title_of
from segmix_core.errors import ProjectError


@pytest.fixture
def results(docs):
    return Results.read(docs / "results" / "tissue.json", "test")


def test_every_method_has_a_title():
    assert TITLES.keys() == METHODS.keys()


@pytest.mark.parametrize(
    ("method", "title"),
    [
        ("segmix-plus", "SegMix+"),
        ("cam:train.epochs=8", "CAM (epochs=8)"),
        (
            "seam:train.er_weight=1e+2+cams.scales=[1.0,1.25]+train.backbone=tu:a+b",
            "SEAM (er_weight=1e+2, scales=[1.0,1.25], backbone=tu:a+b)",
        ),
    ],
)
def test_settings_stand_in_brackets(method, title):
    assert title_of(method) == title


def test_the_best_comes_first_and_full_supervision_last(results):
    methods = [line.method.partition(":")[0] for line in results.lines]
    assert methods == ["segmix", "cam", "full"]
    assert [line.reads_train_masks for line in results.lines] == [False, False, True]
    assert results.trivial["method"] == "disc & <ring>"


def test_lines_have_their_seeds_and_differences(results):
    segmix, cam, _ = results.lines
    assert [row["mean_iou"] for row in segmix.maps] == [0.75, 0.70]
    assert [row["seed"] for row in segmix.segmenter] == [0, 1]
    assert segmix.maps_difference.mean == pytest.approx(0.015)
    assert segmix.segmenter_difference.mean == pytest.approx(0.05)
    assert cam.maps_difference is None


def test_conditions_are_one_sentence(results):
    said = "2 test images, 2 seeds, 8 epochs, batch 16, backbone small, precision bf16."
    assert results.conditions == said


def test_older_files_say_nothing_of_precision(docs):
    path = docs / "lab" / "choices" / "er.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["config"]["machine"] = {}
    content["config"]["train"]["epochs"] = 1
    content["results"] = [row for row in content["results"] if row["seed"] != 1]
    path.write_text(json.dumps(content), encoding="utf-8")
    said = "2 val images, 1 seed, 1 epoch, batch 16, backbone small."
    assert Results.read(path, "val").conditions == said


@pytest.mark.parametrize(
    ("name", "split"), [("results/tissue", "val"), ("lab/choices/er", "test")]
)
def test_scores_of_the_other_split_are_refused(docs, name, split):
    with pytest.raises(
        ProjectError, match=rf"has scores of \w+ images, not of {split}"
    ):
        Results.read(docs / f"{name}.json", split)
