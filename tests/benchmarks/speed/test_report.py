"""The report of the measurements keeps what was not measured again."""

from importlib import import_module
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.speed import report, shuffle, step
from benchmarks.speed.command import Part
from benchmarks.speed.comparison import Table

PARTS = ("shuffle", "step")
WRITTEN = report.REPORT.read_text(encoding="utf-8")


def a_table(title: str, cell: str) -> Table:
    return Table(title, "How.", ("what", "ms"), [("ours", cell)])


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The report of two parts that measure nothing."""
    path = tmp_path / "performance.md"
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(report, "describe_conditions", lambda: "Measured first.")
    monkeypatch.setattr(
        shuffle, "tables", lambda: [a_table("Pairs", "1"), a_table("Fours", "2")]
    )
    monkeypatch.setattr(step, "tables", lambda: [a_table("Step", "3")])
    report.measure(PARTS, path)
    return path


def test_a_report_has_what_each_part_was_measured_on(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.startswith(report.HEADING + "## Pairs\n\nMeasured first.\n\nHow.\n")
    assert text.count("Measured first.") == 3
    assert text.endswith("| what | ms |\n| --- | --- |\n| ours | 3 |\n")


def test_a_part_measured_again_leaves_the_others(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file.read_text(encoding="utf-8")
    monkeypatch.setattr(report, "describe_conditions", lambda: "Measured again.")
    monkeypatch.setattr(step, "tables", lambda: [a_table("Step", "4")])
    report.measure(["step"], file)
    head, _, own = before.partition("## Step")
    own = own.replace("first", "again").replace("| ours | 3 |", "| ours | 4 |")
    assert file.read_text(encoding="utf-8") == f"{head}## Step{own}"


def test_a_part_that_cannot_be_measured_here_stays(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file.read_text(encoding="utf-8")
    monkeypatch.setattr(shuffle, "tables", list)
    report.measure(PARTS, file)
    assert file.read_text(encoding="utf-8") == before


@pytest.mark.parametrize(
    ("words", "expected"), [((), tuple(Part)), (("step", "pcm"), ("step", "pcm"))]
)
def test_the_command_measures_what_is_named(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    measured: list[tuple[str, ...]] = []
    monkeypatch.setattr(
        report,
        "measure",
        lambda names, path: measured.append((*names, path)),
    )
    assert CliRunner().invoke(app, ["speed", *words]).exit_code == 0
    assert measured == [(*expected, report.REPORT)]


def test_every_part_is_a_module_with_tables() -> None:
    for part in Part:
        assert callable(import_module(f"benchmarks.speed.{part}").tables)


def test_an_unknown_part_is_named() -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["speed", "weight"])
    assert result.exit_code == 2
    assert "'weight' is not one of 'shuffle', 'cams'" in result.output


def test_conditions_say_when_of_what_and_on_what(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = report.describe_conditions()
    assert said.startswith("Measured on 20")
    assert f"PyTorch {torch.__version__}" in said
    assert said.endswith(" at the start.")
    monkeypatch.setattr(report.shutil, "which", lambda name: None)
    assert " at version " in report.describe_conditions()


def test_nothing_in_the_report_is_written_by_hand() -> None:
    assert report.replace_sections(WRITTEN, {}) == WRITTEN
    _, *sections = WRITTEN.split("\n## ")
    assert sections
    for section in sections:
        assert section.partition("\n\n")[2].startswith("Measured on ")
