import json

import numpy as np
import pytest
from PIL import Image

from segmix_core.errors import JobError

SMALL = [
    *("--epochs", 1, "--device", "cpu", "--threads", 1),
    *("--set", "train.width=8", "--set", "train.batch_size=4"),
    *("--set", "cams.scales=[1.0]", "--set", "cams.flips=false"),
]


def test_methods_are_compared_and_written(dark_discs, tmp_path, command):
    file = tmp_path / "results.json"
    result = command(
        *("quality", dark_discs, "--protocol", "p1", "--methods", "cam, segmix"),
        *("--seeds", 2, "--json", file, *SMALL),
    )
    assert result.exit_code == 0, result.output
    assert "±" in result.stdout
    assert "all foreground" in result.stdout
    text = file.read_text(encoding="utf-8")
    assert "NaN" not in text
    content = json.loads(text)
    assert content["folder"] == "data é [3]"
    assert content["protocol"] == "p1"
    assert content["split"] == "test"
    assert content["config"]["train"]["epochs"] == 1
    assert content["seconds"] > 0
    trained = [r for r in content["results"] if r["seed"] is not None]
    assert [(r["method"], r["seed"]) for r in trained] == [
        ("cam", 0),
        ("segmix", 0),
        ("cam", 1),
        ("segmix", 1),
    ]
    assert trained[0]["mean_iou"] != trained[2]["mean_iou"]
    summary = {entry["method"]: entry for entry in content["summary"]}
    assert len(summary["all background"]["mean_iou"]) == 1
    assert summary["cam"]["seeds"] == 2
    assert content["against"] == "cam"
    (difference,) = content["differences"]
    assert (difference["method"], difference["seeds"]) == ("segmix", [0, 1])
    by_seed = [trained[n + 1]["mean_iou"] - trained[n]["mean_iou"] for n in (0, 2)]
    assert difference["by_seed"] == by_seed
    assert "Difference in mean IoU from cam, same seeds" in result.stdout
    assert f"{by_seed[0]:+.3f}, {by_seed[1]:+.3f}" in result.stdout
    assert summary["cam"]["mean_iou"] == [
        trained[0]["mean_iou"],
        trained[2]["mean_iou"],
    ]


def test_val_is_scored_without_reading_test(dark_discs, tmp_path, command):
    for file in (dark_discs / "masks").glob("test*"):
        file.write_bytes(b"nobody may open this")
    file = tmp_path / "results.json"
    arguments = (
        *("quality", dark_discs, "--protocol", "p1", "--methods", "cam"),
        *("--segmenter", "--set", "segmenter.epochs=1", "--json", file, *SMALL),
    )
    result = command(*arguments, "--score", "val")
    assert result.exit_code == 0, result.output
    assert "val images" in result.stdout
    content = json.loads(file.read_text(encoding="utf-8"))
    assert content["split"] == "val"
    assert all(len(row["counts"]["tp"]) == 2 for row in content["results"])
    file.unlink()
    result = command(*arguments)
    assert result.exit_code == 2
    assert "test0.png" in result.stderr


def test_ablations_are_rows(dark_discs, tmp_path, command):
    file = tmp_path / "results.json"
    row = "segmix:train.min_ratio=0.1+train.er_weight=0.2"
    result = command(
        *("quality", dark_discs, "--protocol", "p1", "--methods", f"segmix,{row}"),
        *("--json", file, *SMALL),
    )
    assert result.exit_code == 0, result.output
    content = json.loads(file.read_text(encoding="utf-8"))
    plain, ablation = content["results"][-2:]
    assert (plain["method"], plain["settings"]) == ("segmix", {})
    assert ablation["method"] == content["summary"][-1]["method"] == row
    assert ablation["settings"] == {"train.min_ratio": 0.1, "train.er_weight": 0.2}
    # They are the defaults.
    assert ablation["counts"] == plain["counts"]
    assert "er_weight=0.2" in result.stdout


def test_settings_of_some_methods_belong_to_rows(dark_discs, command):
    for name in ("train.rounds", "train.method", "train.magic"):
        result = command(
            *("quality", dark_discs, "--protocol", "p1", "--set", f"{name}=1")
        )
        assert result.exit_code == 2
        said = " ".join(result.stderr.split())
        assert f"Not all methods have the setting {name}." in said
        assert f"segmix:{name}=VALUE" in said


def test_a_table_is_made_in_pieces(dark_discs, tmp_path, command):
    file = tmp_path / "results.json"
    base = (
        *("quality", dark_discs, "--protocol", "p1", "--json", file, *SMALL),
        *("--set", "segmenter.epochs=1", "--resume"),
    )

    def content_of():
        return json.loads(file.read_text(encoding="utf-8"))

    def rows_after(*more):
        result = command(*base, *more)
        assert result.exit_code == 0, result.output
        return result, {
            (row["method"], row["scored"], row["seed"]): row
            for row in content_of()["results"]
        }

    _, first = rows_after("--methods", "cam", "--against", "cam")
    _, second = rows_after("--methods", "seam,cam", "--seeds", 2)
    new = [key for key in second if key not in first]
    # The row that differences are taken to stays the one of the file.
    assert {e["method"] for e in content_of()["differences"]} == {"seam"}
    # Methods stand in the order in which they came.
    assert new == [("seam", "maps", 0), ("cam", "maps", 1), ("seam", "maps", 1)]
    assert first.items() <= second.items()
    result, third = rows_after("--methods", "cam", "--segmenter")
    assert third.keys() - second.keys() == {("cam", "segmenter", 0)}
    assert "trained again" not in result.stderr
    assert "cam, seed 1" not in result.output
    result, fourth = rows_after("--methods", "cam", "--segmenter")
    assert fourth == third
    assert "cam, seed 0" not in result.output


def test_a_retrained_method_with_other_maps_is_noticed(dark_discs, tmp_path, command):
    file = tmp_path / "results.json"
    base = (
        *("quality", dark_discs, "--protocol", "p1", "--methods", "cam", *SMALL),
        *("--set", "segmenter.epochs=1", "--json", file),
    )
    assert command(*base).exit_code == 0
    content = json.loads(file.read_text(encoding="utf-8"))
    content["results"][-1]["counts"]["tp"][0] += 1
    file.write_text(json.dumps(content), encoding="utf-8")
    result = command(*base, "--segmenter", "--resume")
    assert result.exit_code == 0
    assert "cam, seed 0, was trained again for its segmenter" in result.stderr
    again = json.loads(file.read_text(encoding="utf-8"))["results"]
    assert again[:-1] == content["results"]


def test_results_are_never_replaced(dark_discs, tmp_path, command):
    file = tmp_path / "results.json"
    base = ("quality", dark_discs, "--protocol", "p1", "--methods", "cam", *SMALL)
    assert command(*base, "--json", file).exit_code == 0
    before = file.read_bytes()
    for more, message in (
        ((), "Pass --resume to continue it"),
        (("--resume", "--set", "train.width=16"), "The train.width of results.json"),
        (("--resume", "--score", "val"), "The split of results.json"),
    ):
        result = command(*base, "--json", file, *more)
        assert result.exit_code == 2
        assert message in result.stderr
    Image.fromarray(np.ones((32, 32), np.uint8)).save(dark_discs / "masks/test0.png")
    result = command(*base, "--json", file, "--resume")
    assert result.exit_code == 2
    assert "'all foreground' has other pixel counts" in result.stderr
    assert file.read_bytes() == before
    result = command(*base, "--resume")
    assert result.exit_code == 2
    assert "Pass the results file to resume" in result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 3), (JobError("No memory is left.", "Buy some."), 2)],
)
def test_what_ends_a_table_shows_what_is_done(
    dark_discs, tmp_path, command, monkeypatch, error, code
):
    def interrupt(trainings, processes, listen):
        yield next(trainings[0].run(listen(trainings[0])))
        raise error

    monkeypatch.setattr("benchmarks.quality.training.run_trainings", interrupt)
    file = tmp_path / "results.json"
    result = command(
        *("quality", dark_discs, "--protocol", "p1", "--methods", "cam,seam"),
        *("--json", file, *SMALL),
    )
    assert result.exit_code == code
    assert "centered disc" in result.stdout
    rows = json.loads(file.read_text(encoding="utf-8"))["results"]
    assert [row["method"] for row in rows if row["seed"] == 0] == ["cam"]


def test_segmenters_have_rows_of_their_own(dark_discs, tmp_path, command):
    for number in range(6):
        mask = np.zeros((32, 32), np.uint8)
        mask[8:24, 8:24] = 1 + number % 2
        Image.fromarray(mask).save(dark_discs / "masks" / f"train{number}.png")
    file = tmp_path / "results.json"
    result = command(
        *("quality", dark_discs, "--protocol", "p1", "--methods", "cam,full"),
        *("--segmenter", "--json", file, *SMALL, "--set", "segmenter.epochs=1"),
    )
    assert result.exit_code == 0, result.output
    content = json.loads(file.read_text(encoding="utf-8"))
    rows = [
        (e["method"], e["scored"], e["reads_train_masks"]) for e in content["summary"]
    ]
    assert rows[-4:] == [
        ("cam", "maps", False),
        ("cam", "segmenter", False),
        ("full", "maps", True),
        ("full", "segmenter", True),
    ]
    assert "reads" in result.stdout
    assert result.stdout.count("segmenter") >= 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--protocol", "p7"), "Choose one of p1, p2"),
        (("--protocol", "p1", "--methods", "magic"), "Choose from cam"),
        (("--protocol", "p2"), "as a table"),
        (
            ("--protocol", "p1", "--against", "seam"),
            "not one of the trained methods cam, segmix, segmix-plus",
        ),
        (("--protocol", "p1", "--against", "centered disc"), "as --against"),
        (("--protocol", "p1", "--score", "train"), "Choose one of val, test"),
        (("--protocol", "p1", "--set", "train.epochs=0"), "train.epochs"),
        (("--protocol", "p1", "--methods", "cam,cam:train.width=1"), "train.width"),
        (("--protocol", "p1", "--methods", "cam:width"), "form section.field=value"),
        (("--protocol", "p1", "--device", "abacus"), "cuda"),
    ],
)
def test_what_is_wrong_is_told(dark_discs, command, options, message):
    result = command("quality", dark_discs, *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_file_that_cannot_be_written_is_named(dark_discs, tmp_path, command):
    file = tmp_path / "nowhere" / "results.json"
    result = command(
        *("quality", dark_discs, "--protocol", "p1", "--methods", "cam"),
        *("--json", file, *SMALL),
    )
    assert result.exit_code == 2
    assert "Choose a file in an existing, writable folder" in result.stderr


def test_a_folder_without_tables_is_named(tmp_path, command):
    result = command("quality", tmp_path, "--protocol", "p1")
    assert result.exit_code == 2
    assert "as a table" in result.stderr
