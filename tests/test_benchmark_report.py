"""The report of the measurements keeps what was not measured again."""

from pathlib import Path

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import report, shuffle, step
from benchmarks.comparison import Table

WRITTEN = command.REPORT.read_text(encoding="utf-8")


def a_table(title: str, cell: str) -> Table:
    return Table(title, "How.", ("what", "ms"), [("ours", cell)])


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The report of two parts that measure nothing."""
    path = tmp_path / "performance.md"
    monkeypatch.setattr(command, "REPORT", path)
    monkeypatch.setattr(command, "PARTS", ("shuffle", "step"))
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(command, "describe_conditions", lambda: "Measured first.")
    monkeypatch.setattr(
        shuffle, "tables", lambda: [a_table("Pairs", "1"), a_table("Fours", "2")]
    )
    monkeypatch.setattr(step, "tables", lambda: [a_table("Step", "3")])
    command.main([])
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
    monkeypatch.setattr(command, "describe_conditions", lambda: "Measured again.")
    monkeypatch.setattr(step, "tables", lambda: [a_table("Step", "4")])
    command.main(["step"])
    head, _, own = before.partition("## Step")
    own = own.replace("first", "again").replace("| ours | 3 |", "| ours | 4 |")
    assert file.read_text(encoding="utf-8") == f"{head}## Step{own}"


def test_a_part_that_cannot_be_measured_here_stays(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file.read_text(encoding="utf-8")
    monkeypatch.setattr(shuffle, "tables", list)
    command.main([])
    assert file.read_text(encoding="utf-8") == before


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(SystemExit, match=r"Expected names among .*got speed"):
        command.main(["speed"])


def test_conditions_say_when_of_what_and_on_what(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = report.describe_conditions()
    assert said.startswith("Measured on 20")
    assert f"PyTorch {torch.__version__}" in said
    assert said.endswith(" at the start.")
    monkeypatch.setattr(report.shutil, "which", lambda name: None)
    assert "in the state of version " in report.describe_conditions()


def test_nothing_in_the_report_is_written_by_hand() -> None:
    assert report.replace_sections(WRITTEN, {}) == WRITTEN
    _, *sections = WRITTEN.split("\n## ")
    assert sections
    for section in sections:
        assert section.partition("\n\n")[2].startswith("Measured on ")
