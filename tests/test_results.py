"""The document of results, and the script that writes it."""

import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest

from segmix_core.errors import ProjectError

ROOT = Path(__file__).parents[1]
CONFIG = {"train": {"epochs": 8, "batch_size": 16, "backbone": "small"}}
METRICS = (
    *("foreground_iou", "background_iou", "dice"),
    *("image_mean_iou", "class_mean_iou"),
)


@pytest.fixture(scope="module")
def results():
    spec = importlib.util.spec_from_file_location(
        "results", ROOT / "scripts" / "results.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_content(split, scores):
    """A file of results; ``scores`` has the mean IoU of two seeds by row."""
    rows, summary = [], []
    for (method, scored), values in scores.items():
        shared = {
            "method": method,
            "scored": scored,
            "reads_train_masks": method == "full",
        }
        seeds = [None] if scored == "trivial" else [0, 1]
        for seed, value in zip(seeds, values, strict=True):
            counts = {name: [5, 5] for name in ("tp", "fp", "fn", "tn")}
            by_class = {"polyp": {"mean_iou": None if seed == 0 else value}}
            rows.append(
                {
                    **shared,
                    "seed": seed,
                    "mean_iou": value,
                    "by_class": by_class,
                    "counts": counts,
                }
            )
        values = {"mean_iou": values} | dict.fromkeys(METRICS, values)
        summary.append({**shared, "seeds": len(seeds), **values})
    return {
        "folder": "data",
        "protocol": "p2",
        "split": split,
        "config": CONFIG,
        "against": "cam",
        "images": {"name": ["a.png", "b.png"], "group": ["", ""]},
        "results": rows,
        "summary": summary,
    }


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "choices").mkdir()
    (tmp_path / "TEXT.md").write_text("# Results\n", encoding="utf-8")
    return tmp_path


def test_the_document_is_what_the_files_make(results):
    written = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert written == results.document(ROOT / "docs" / "results"), "run: make results"


def test_the_script_writes_the_document(results, folder, monkeypatch, capsys):
    target = folder / "results"
    shutil.copytree(ROOT / "docs" / "results", target)
    monkeypatch.setattr(results, "FOLDER", target)
    assert results.main() == 0
    written = (folder / "results.md").read_text(encoding="utf-8")
    assert written == results.document(target)
    (target / "val.json").write_text('{"split": "val"}', encoding="utf-8")
    assert results.main() == 2
    assert "val.json has scores of val" in capsys.readouterr().err


def test_segmenters_differences_and_the_closed_distance_are_told(results, folder):
    content = make_content(
        "test",
        {
            ("disc", "trivial"): [0.3],
            ("cam", "maps"): [0.70, 0.72],
            ("cam", "segmenter"): [0.60, 0.70],
            ("segmix", "maps"): [0.71, 0.70],
            ("segmix", "segmenter"): [0.65, 0.75],
            ("full", "segmenter"): [0.80, 0.90],
        },
    )
    (folder / "a.json").write_text(json.dumps(content), encoding="utf-8")
    text = results.document(folder)
    assert "Scores of 2 test images." in text
    assert "| disc | 1 | 0.300 |" in text
    head, _, segmenters = text.partition("Segmenters:")
    assert "segmenter" not in head
    assert "| cam, segmenter | 2 | 0.650 ± 0.071 |" in segmenters
    assert "| full, segmenter (reads train masks) | 2 | 0.850 ± 0.071 |" in segmenters
    assert "Mean IoU less that of cam, seed by seed:" in text
    # Every row has the same pixels here, so draws make no difference.
    line = "-0.005 ± 0.021 | +0.000 to +0.000 | +0.010, -0.020 |"
    assert f"| segmix | {line}" in text
    assert "| segmix, segmenter | +0.050 ± 0.000 |" in text
    # 0.05 of 0.20.
    assert "| segmix | 2 | 25 % |" in text
    assert "| full | 2 |" not in text
    assert "| full, segmenter (reads train masks) | +0.200" in text
    assert "| cam | 0 | 0.700 | none |" in text
    assert "How settings were chosen" not in text


def test_choices_have_a_question_and_a_winner(results, folder):
    row = "segmix:train.er_weight=1"
    content = make_content(
        "val",
        {
            ("disc", "trivial"): [0.9],
            ("cam", "maps"): [0.70, 0.72],
            ("cam", "segmenter"): [0.80, 0.82],
            (row, "maps"): [0.75, 0.70],
            (row, "segmenter"): [0.70, 0.70],
            ("full", "maps"): [0.95, 0.95],
        },
    )
    file = folder / "choices" / "er.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ProjectError, match=r"no er\.md beside er\.json"):
        results.document(folder)
    file.with_suffix(".md").write_text("# How much ER?\n\nWhy.\n", encoding="utf-8")
    text = results.document(folder)
    assert "## How settings were chosen" in text
    assert "### How much ER?\n\nWhy.\n" in text
    assert "Scores of 2 val images. 8 epochs, batch 16, backbone small." in text
    content["config"] = CONFIG | {"machine": {"precision": "bf16"}}
    file.write_text(json.dumps(content), encoding="utf-8")
    assert "backbone small, numbers bf16." in results.document(folder)
    assert "[er.json](results/choices/er.json)" in text
    bold = [line.split("|")[1].strip() for line in text.splitlines() if "**" in line]
    assert bold == [f"**{row}**", "**cam, segmenter**"]
    content["split"] = "test"
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ProjectError, match=r"er\.json has scores of test, not of val"):
        results.document(folder)


def test_a_file_without_counts_has_no_interval(results, folder):
    content = make_content(
        "test", {("cam", "maps"): [0.7, 0.7], ("seam", "maps"): [0.8, 0.7]}
    )
    del content["images"], content["split"], content["against"]
    for entry in content["results"]:
        del entry["counts"]
    (folder / "a.json").write_text(json.dumps(content), encoding="utf-8")
    text = results.document(folder)
    assert "| seam | +0.050 ± 0.071 | unknown | +0.100, +0.000 |" in text
    assert "Scores of test images." in text


def test_nothing_is_left_to_be_filled_in():
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert not re.search(r"@\w+@|TODO|XXX", text)
