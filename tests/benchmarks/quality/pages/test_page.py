"""The page of results, its texts, and the script that writes it."""

import re
from pathlib import Path

import pytest

from benchmarks.quality.pages.lab import lab_files
from benchmarks.quality.pages.page import repeat_command, results_files
from benchmarks.quality.pages.results import Results
from scripts import results as script
from segmix_core.errors import ProjectError

DOCS = Path(__file__).parents[4] / "docs"
PAGE = (DOCS / "results.md").read_text(encoding="utf-8")


def test_documents_are_what_the_files_make():
    for path, text in {**results_files(DOCS), **lab_files(DOCS)}.items():
        assert path.read_text(encoding="utf-8") == text, f"run: make results ({path})"


def test_the_page_can_be_finished():
    assert len(PAGE.split()) < 2500
    files = len(list((DOCS / "results").glob("*.json")))
    assert PAGE.count("\n## ") == PAGE.count("![") == PAGE.count("\n| Meth") == files


def test_scores_in_texts_are_those_of_the_table():
    for section in PAGE.split("\n## ")[1:]:
        table = "\n".join(line for line in section.splitlines() if line[:1] == "|")
        said = set(re.findall(r"\b0\.\d{3}\b", section.replace(table, "")))
        assert said
        assert said <= set(re.findall(r"\b0\.\d{3}\b", table))


def test_a_section_has_a_figure_a_table_and_a_meaning(docs):
    files = results_files(docs)
    page = files[docs / "results.md"]
    assert page.startswith("# Results\n\nFirst.\n\n## Title of test\n\nBefore.\n\n![")
    order = ("](results/tissue.svg)", "| Method |", "\n\nAfter.\n\n2 test images")
    places = [page.index(part) for part in order]
    assert places == sorted(places)
    assert files.keys() == {
        docs / "results.md",
        docs / "results" / "tissue.svg",
        docs / "results" / "tissue.csv",
    }


def test_a_table_can_be_repeated(docs):
    results = Results.read(docs / "results" / "tissue.json", "test")
    methods = "'segmix:train.er_weight=0+cams.scales=[1,2],cam,full'"
    assert repeat_command(results) == (
        f"python -m benchmarks quality data --protocol p2 --methods {methods} "
        "--segmenter --seeds 2 --epochs 8 --set machine.precision=bf16 --against cam "
        "--json tissue.json"
    )
    rows = [row for row in results.content["results"] if row["scored"] != "segmenter"]
    without = Results("tissue", {**results.content, "results": rows})
    assert "--segmenter" not in repeat_command(without)


def test_a_text_is_missing_or_says_nothing(docs):
    text = docs / "results" / "tissue.md"
    text.write_text("# Title\n\nOnly what it is.\n", encoding="utf-8")
    with pytest.raises(ProjectError, match=r"does not say what the results mean"):
        results_files(docs)
    text.unlink()
    with pytest.raises(ProjectError, match=r"no tissue\.md beside tissue\.json"):
        results_files(docs)


def test_the_script_writes_what_it_says(docs, monkeypatch, capsys):
    monkeypatch.setattr(script, "DOCS", docs)
    assert script.main() == 0
    for path, text in {**results_files(docs), **lab_files(docs)}.items():
        assert path.read_bytes().decode() == text
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4
    assert said[0].endswith("results.md")
    (docs / "results" / "tissue.md").unlink()
    assert script.main() == 2
    assert "Write what was asked" in capsys.readouterr().err
