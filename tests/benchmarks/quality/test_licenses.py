"""The benchmark tells the licenses of the weights that its rows begin with."""

import pytest

from benchmarks.quality import training

UNI = "hf-hub:MahmoodLab/UNI"


@pytest.fixture
def told(monkeypatch, dark_discs, command):
    """Run ``quality`` without its trainings; return the licenses it tells first."""

    def run(*arguments):
        seen = []

        def nothing(trainings, processes, listen):
            seen.extend(trainings)
            yield from ()

        monkeypatch.setattr(training, "run_trainings", nothing)
        result = command("quality", dark_discs, "--protocol", "p1", *arguments)
        assert result.exit_code == 0, result.output
        assert seen
        assert "License" not in result.stdout
        return [line for line in result.stderr.splitlines() if "License" in line]

    return run


def settings(*assignments):
    return [word for text in assignments for word in ("--set", text)]


def test_a_backbone_is_told_once_for_all_rows_and_seeds(told):
    shared = settings(f"train.backbone={UNI}", "train.weights=download")
    (line,) = told("--methods", "cam,segmix", "--seeds", 2, *shared)
    assert "MahmoodLab/UNI: CC BY-NC-ND 4.0 (non-commercial" in line


def test_rows_with_weights_of_their_own(told):
    rows = (
        "cam",
        "cam:train.backbone=resnet18",
        "segmix:train.backbone=resnet18+train.weights=download",
        f"segmix:train.backbone={UNI}+train.weights=/some/where.safetensors",
    )
    lines = told("--methods", ",".join(rows))
    assert [line.split("weights of ")[1].split(":")[0] for line in lines] == [
        "resnet18",
        "MahmoodLab/UNI",
    ]


@pytest.mark.parametrize(("segmenter", "count"), [(["--segmenter"], 1), ([], 0)])
def test_an_encoder_is_told_where_a_segmenter_learns(told, segmenter, count):
    shared = settings("segmenter.encoder=tu-resnet18", "segmenter.pretrained=true")
    lines = told("--methods", "cam,segmix", *segmenter, *shared)
    assert len(lines) == count
    assert all("resnet18: Apache 2.0." in line for line in lines)


def test_from_scratch_there_is_none(told):
    assert told("--segmenter", *settings("train.backbone=resnet18")) == []
