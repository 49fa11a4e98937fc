import csv
import io
import json

import pytest

from benchmarks.quality.pages.results import Results
from benchmarks.quality.pages.tables import csv_table, markdown_table


@pytest.fixture
def results(docs):
    return Results.read(docs / "results" / "tissue.json", "test")


def test_a_table_has_masks_and_segmenters(results):
    table = markdown_table(results).splitlines()
    assert table[0] == (
        "| Method | Mean IoU of masks | Foreground IoU | Background IoU | vs. CAM "
        "(95% CI) | Mean IoU of segmenter | vs. CAM (95% CI) |"
    )
    no_change = "(+0.000 to +0.000)"
    assert table[2:] == [
        "| disc & <ring> (learns nothing) | 0.300 | 0.300 | 0.300 |  |  |  |",
        "| SegMix (er_weight=0, scales=[1,2]) | 0.725 ± 0.035 | 0.725 | 0.725 | "
        f"+0.015 {no_change} | 0.700 ± 0.071 | +0.050 {no_change} |",
        "| CAM | 0.710 ± 0.014 | 0.710 | 0.710 |  | 0.650 ± 0.071 |  |",
        "| Full supervision (reads train masks) | 0.810 ± 0.014 | 0.810 | 0.810 | "
        f"+0.100 {no_change} | 0.850 ± 0.071 | +0.200 {no_change} |",
    ]


def test_without_segmenters_there_are_no_columns_for_them(results):
    rows = [row for row in results.content["results"] if row["scored"] != "segmenter"]
    table = markdown_table(Results("a", {**results.content, "results": rows}))
    assert "segmenter" not in table
    assert {line.count("|") for line in table.splitlines()} == {6}


def test_one_seed_has_no_deviation_and_one_group_no_interval(results):
    rows = [row for row in results.content["results"] if row["seed"] in (None, 0)]
    images = {"name": ["a.png", "b.png"], "group": ["case", "case"]}
    table = markdown_table(
        Results("a", {**results.content, "results": rows, "images": images})
    )
    assert "| 0.750 | 0.750 | 0.750 | +0.050 | 0.650 | +0.050 |" in table
    assert "±" not in table


def test_no_difference_has_no_minus(results):
    content = json.loads(json.dumps(results.content))
    for row in content["results"]:
        if row["method"] == "full":
            row["mean_iou"] = {0: 0.69998, 1: 0.71999}[row["seed"]]
    assert "-0.000" not in markdown_table(Results("a", content))


def test_raw_rows_are_those_of_the_file(results):
    rows = list(csv.DictReader(io.StringIO(csv_table(results))))
    assert len(rows) == len(results.content["results"])
    for found, expected in zip(rows, results.content["results"], strict=True):
        assert found["method"] == expected["method"]
        assert float(found["mean_iou"]) == expected["mean_iou"]
        assert found["seed"] == (
            "" if expected["seed"] is None else str(expected["seed"])
        )
        by_class = expected["by_class"]["polyp"]["mean_iou"]
        assert found["mean_iou of polyp"] == ("" if by_class is None else str(by_class))
