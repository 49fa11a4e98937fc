"""The page of results: a figure, a table and what they mean, for each file."""

import shlex
from pathlib import Path

from benchmarks.quality.pages.figure import svg_figure
from benchmarks.quality.pages.results import Results
from benchmarks.quality.pages.tables import csv_table, markdown_table
from segmix_core.errors import ProjectError

INTRODUCTION = "INTRODUCTION.md"


def results_files(docs: Path) -> dict[Path, str]:
    """Return the page of results and what it links to, by where they belong.

    Every file ``docs/results/NAME.json``, with scores of test, is a section; its text
    is in ``NAME.md``: the heading, what the images are, and after a line of three
    dashes what the results mean.

    Raises
    ------
    ProjectError
        If a text is missing or has another form, or scores are not of test.
    """
    folder = docs / "results"
    parts = [(folder / INTRODUCTION).read_text(encoding="utf-8").strip()]
    files = {}
    for path in sorted(folder.glob("*.json")):
        results = Results.read(path, "test")
        parts.append(_section(results, path.with_suffix(".md")))
        files[path.with_suffix(".svg")] = svg_figure(results)
        files[path.with_suffix(".csv")] = csv_table(results)
    return {docs / "results.md": "\n\n".join(parts) + "\n", **files}


def read_text(path: Path) -> str:
    """Return the text that belongs to a file of results.

    Raises
    ------
    ProjectError
        If nobody wrote it.
    """
    if not path.exists():
        raise ProjectError(
            f"There is no {path.name} beside {path.stem}.json.",
            "Write what was asked and what the results mean.",
        )
    return path.read_text(encoding="utf-8")


def repeat_command(results: Results) -> str:
    """Return the command whose results are in a file."""
    content = results.content
    settings, machine = content["config"]["train"], content["config"]["machine"]
    words = [
        *("python", "-m", "benchmarks", "quality", content["folder"]),
        *("--protocol", content["protocol"]),
        *("--methods", ",".join(line.method for line in results.lines)),
        *(["--segmenter"] if any(line.segmenter for line in results.lines) else []),
        *("--seeds", str(results.seeds)),
        *("--epochs", str(settings["epochs"])),
        *("--set", f"machine.precision={machine['precision']}"),
        *("--against", content["against"], "--json", f"{results.name}.json"),
    ]
    return shlex.join(words)


def _section(results: Results, path: Path) -> str:
    title, _, text = read_text(path).partition("\n")
    images, dashes, meaning = text.partition("\n---\n")
    if not dashes:
        raise ProjectError(
            f"{path.name} does not say what the results mean.",
            "Add it after a line of three dashes.",
        )
    name = results.name
    return "\n\n".join(
        [
            f"## {title.lstrip('# ')}",
            images.strip(),
            f"![Mean IoU of every method and seed](results/{name}.svg)",
            markdown_table(results),
            meaning.strip(),
            f"{results.conditions} Scores per seed and class: "
            f"[{name}.csv](results/{name}.csv); pixel counts per image: "
            f"[{name}.json](results/{name}.json). To reproduce:",
            f"```\n{repeat_command(results)}\n```",
        ]
    )
