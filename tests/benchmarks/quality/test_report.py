import json
from dataclasses import replace

import pytest

from benchmarks.quality.folder import BenchmarkFolder
from benchmarks.quality.protocols import make_protocol
from benchmarks.quality.report import Conditions, Report, read_report
from benchmarks.quality.results import MethodResult
from benchmarks.quality.run import score_trivial
from segmix_core.errors import ConfigError
from segmix_core.settings import RunSettings

CONFIG = RunSettings()
ROW = "seam:cams.scales=[1.0,1.25]"


@pytest.fixture
def folder(benchmark_path):
    return BenchmarkFolder(benchmark_path)


@pytest.fixture
def conditions(folder):
    return Conditions.of("p1", make_protocol("p1", folder), CONFIG)


@pytest.fixture
def answers(folder):
    """Scores of two predictors, to be given to any row."""
    results = {result.method: result.scores for result in score_trivial(folder)}
    return results["Otsu, dark green"], results["centered disc"]


def test_the_order_is_of_the_table_whoever_ends_first(conditions, answers):
    report = Report(conditions)
    report.expect(["disc", "cam", ROW])
    rows = [
        (ROW, 1, "maps"),
        ("cam", 1, "segmenter"),
        ("cam", 0, "maps"),
        ("disc", None, "trivial"),
        ("cam", 0, "segmenter"),
        (ROW, 0, "maps"),
    ]
    for method, seed, scored in rows:
        assert report.add(MethodResult(method, seed, answers[0], scored=scored))
    found = [(row["method"], row["seed"], row["scored"]) for row in report.rows]
    assert found == [rows[n] for n in (3, 2, 4, 5, 1, 0)]
    summary = report.summary()
    assert [(e["method"], e["scored"], e["seeds"]) for e in summary] == [
        ("disc", "trivial", 1),
        ("cam", "maps", 1),
        ("cam", "segmenter", 2),
        (ROW, "maps", 2),
    ]
    assert summary[-1]["mean_iou"] == [answers[0].all.mean_iou] * 2


def test_the_first_row_stays_and_another_one_is_noticed(conditions, answers):
    report = Report(conditions, ["cam"])
    first, second = (MethodResult("cam", 0, scores) for scores in answers)
    assert report.add(first)
    assert report.add(first)
    assert not report.add(second)
    assert report.rows == [first.to_json()]
    assert report.has("cam", "maps", 0)
    assert not report.has("cam", "segmenter", 0)
    assert not report.has("cam", "maps", 1)


def test_a_file_is_gone_on_with(conditions, answers, folder, tmp_path):
    report = Report(conditions, [ROW, "cam"], seconds=100)
    report.add(MethodResult("cam", 0, answers[0]))
    report.add(MethodResult(ROW, 0, answers[1], settings={"cams.scales": [1.0, 1.25]}))
    file = tmp_path / "é.json"
    report.write(file)
    text = file.read_text(encoding="utf-8")
    content = json.loads(text)
    assert content == report.to_json() | {"seconds": content["seconds"]}
    assert content["images"]["name"] == [i.name for i in folder.split("test")]
    # A list of numbers is one line.
    counts = content["results"][0]["counts"]["tp"]
    assert f'"tp": [{", ".join(map(str, counts))}]' in text
    there = conditions.config.replace({"machine.threads": 3, "train.seed": 7})
    again = read_report(file, replace(conditions, config=there))
    assert again.rows == report.rows
    assert again.to_json()["seconds"] >= 100
    again.expect(["cam", "segmix"])
    assert again.methods == [ROW, "cam", "segmix"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "p2"}, r'The protocol of a\.json is "p1", not "p2"'),
        ({"split": "val"}, r"The split of a\.json"),
        ({"folder": "other"}, r"The folder of a\.json"),
        ({"images": {"name": ["x"]}}, r"The images of .*, not \{"),
        (
            {"config": CONFIG.replace({"train.epochs": 3})},
            r"The train\.epochs of a\.json is 24, not 3",
        ),
    ],
)
def test_other_conditions_are_named(conditions, tmp_path, change, message):
    file = tmp_path / "a.json"
    Report(conditions).write(file)
    with pytest.raises(ConfigError, match=message):
        read_report(file, replace(conditions, **change))


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"config": {}, "folder": "a"}'])
def test_what_is_no_report_is_named(conditions, tmp_path, text):
    file = tmp_path / "a.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="not a results file of this version"):
        read_report(file, conditions)
