"""Writes docs/results.md from the files of ``python -m benchmarks quality --json``.

Usage: python scripts/results.py

Every file in docs/results/ becomes tables, under the text of docs/results/TEXT.md.
Every file in docs/results/choices/, made with ``--score val``, becomes a table of the
section on how settings were chosen; a file of the same name that ends in .md says what
was asked: a heading in the first line, then text.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.quality.paired import paired_differences
from benchmarks.quality.report import METRICS
from segmix_core.errors import ProjectError, SegmixError

FOLDER = Path(__file__).parents[1] / "docs" / "results"
FLOOR, CEILING = "cam", "full"


def main() -> int:
    """Write the document and return the exit code."""
    try:
        text = document(FOLDER)
    except SegmixError as error:
        print(error, file=sys.stderr)
        return 2
    target = FOLDER.with_suffix(".md")
    target.write_text(text, encoding="utf-8")
    print(f"Wrote {target}")
    return 0


def document(folder: Path) -> str:
    """Return the document that the files of a folder make."""
    parts = [(folder / "TEXT.md").read_text(encoding="utf-8").rstrip()]
    for path in sorted(folder.glob("*.json")):
        parts += tables(read(path, "test"), path.name)
    choices = sorted((folder / "choices").glob("*.json"))
    if choices:
        parts += [
            "## How settings were chosen",
            "By val scores alone: masks of test were not read. Bold: the highest mean "
            "IoU of its table.",
        ]
    for path in choices:
        parts += choice(path)
    return "\n\n".join(parts) + "\n"


def read(path: Path, split: str) -> dict[str, Any]:
    """Return the content of a file whose scores are of a split.

    Raises
    ------
    ProjectError
        If they are of another.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    # Files from before there was a choice are of test.
    found = content.get("split", "test")
    if found != split:
        raise ProjectError(
            f"{path.name} has scores of {found}, not of {split}.",
            "Put scores of test into docs/results/, and those of val into choices/.",
        )
    return content


def tables(content: dict[str, Any], name: str) -> list[str]:
    """Return a heading and the tables of methods, differences and classes."""
    title = f"## {content['folder']}, protocol {content['protocol']}"
    facts = f"{conditions(content)} Every seed and class: [{name}](results/{name})."
    return [
        title,
        facts,
        *methods(content["summary"], row_name),
        *differences(content),
        *closed(content["results"]),
        *classes(content["results"]),
    ]


def choice(path: Path) -> list[str]:
    """Return what was asked, and the table that answers it.

    Raises
    ------
    ProjectError
        If nobody wrote down what was asked.
    """
    asked = path.with_suffix(".md")
    if not asked.exists():
        raise ProjectError(
            f"There is no {asked.name} beside {path.name}.", "Write what was asked."
        )
    title, _, text = asked.read_text(encoding="utf-8").partition("\n")
    content = read(path, "val")
    summary = content["summary"]
    best = [max(rows, key=value_of) for rows in weak(summary).values()]

    def name(entry: dict[str, Any]) -> str:
        return f"**{row_name(entry)}**" if entry in best else row_name(entry)

    facts = (
        f"{content['folder']}, protocol {content['protocol']}. {conditions(content)} "
        f"[{path.name}](results/choices/{path.name})."
    )
    return [
        f"### {title.lstrip('# ').strip()}",
        *([text.strip()] if text.strip() else []),
        facts,
        *methods(summary, name),
        *differences(content),
    ]


def weak(summary: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows among which one can be chosen, by what was scored."""
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in summary:
        if entry["scored"] != "trivial" and not entry["reads_train_masks"]:
            found.setdefault(entry["scored"], []).append(entry)
    return found


def value_of(entry: dict[str, Any]) -> float:
    """Return what rows are chosen by."""
    return mean(entry["mean_iou"])


def conditions(content: dict[str, Any]) -> str:
    """Return what all rows of a file share."""
    settings = content["config"]["train"]
    images = content.get("images")
    count = f"{len(images['name'])} " if images else ""
    precision = content["config"].get("machine", {}).get("precision")
    numbers = ", numbers bf16" if precision == "bf16" else ""
    return (
        f"Scores of {count}{content.get('split', 'test')} images. "
        f"{settings['epochs']} epochs, batch {settings['batch_size']}, "
        f"backbone {settings['backbone']}{numbers}."
    )


def methods(
    summary: list[dict[str, Any]], name: Callable[[dict[str, Any]], str]
) -> list[str]:
    """Return the table of what has no segmenter, and that of segmenters."""
    parts = []
    for title, is_segmenter in (("", False), ("Segmenters:", True)):
        rows = [
            [
                name(entry),
                str(entry["seeds"]),
                *(spread(entry[metric]) for metric in METRICS),
            ]
            for entry in summary
            if (entry.get("scored") == "segmenter") == is_segmenter
        ]
        if rows:
            heads = ["method", "seeds", *map(title_of, METRICS)]
            parts += [*([title] if title else []), table(heads, rows)]
    return parts


def differences(content: dict[str, Any]) -> list[str]:
    """Return the table of paired differences, if there are any."""
    results = content["results"]
    trained = [entry["method"] for entry in results if entry["seed"] is not None]
    against = content.get("against") or next(iter(trained), "")
    groups = content["images"]["group"] if "images" in content else None
    names = {
        (entry["method"], entry.get("scored", "maps")): row_name(entry)
        for entry in results
    }
    rows = [
        [
            names[entry.method, entry.scored],
            signed(entry.by_seed),
            ends(entry.interval),
            ", ".join(f"{value:+.3f}" for value in entry.by_seed),
        ]
        for entry in paired_differences(results, against, groups)
    ]
    if not rows:
        return []
    return [
        f"Mean IoU less that of {against}, seed by seed:",
        table(["method", "difference", "95 % of draws", "by seed"], rows),
    ]


def closed(results: list[dict[str, Any]]) -> list[str]:
    """Return how much of the way from plain CAM to full supervision segmenters go."""
    found: dict[str, dict[int, float]] = {}
    for entry in results:
        if entry.get("scored") == "segmenter":
            found.setdefault(entry["method"], {})[entry["seed"]] = entry["mean_iou"]
    low, high = found.pop(FLOOR, {}), found.pop(CEILING, {})
    rows = []
    for method, own in found.items():
        seeds = own.keys() & low.keys() & high.keys()
        whole = sum(high[seed] - low[seed] for seed in seeds)
        if whole > 0:
            part = sum(own[seed] - low[seed] for seed in seeds)
            rows.append([method, str(len(seeds)), f"{100 * part / whole:.0f} %"])
    if not rows:
        return []
    return [
        f"Share of the distance from the segmenter of {FLOOR} to that of {CEILING} "
        "(mean IoU, same seeds) that a segmenter closes:",
        table(["method", "seeds", "closed"], rows),
    ]


def classes(results: list[dict[str, Any]]) -> list[str]:
    """Return the table of mean IoU by class and seed of the trained methods."""
    trained = [entry for entry in results if entry["seed"] is not None]
    if not trained:
        return []
    names = list(trained[0]["by_class"])
    rows = [
        [
            row_name(entry),
            str(entry["seed"]),
            spread([entry["mean_iou"]]),
            *(spread([entry["by_class"][name]["mean_iou"]]) for name in names),
        ]
        for entry in trained
    ]
    return [
        "Mean IoU by seed, and by class of the image:",
        table(["method", "seed", "all", *names], rows),
    ]


def row_name(entry: dict[str, Any]) -> str:
    """Return the method, what of it was scored, and whether it saw train masks."""
    name = str(entry["method"])
    if entry.get("scored") == "segmenter":
        name += ", segmenter"
    return f"{name} (reads train masks)" if entry.get("reads_train_masks") else name


def title_of(metric: str) -> str:
    """Return how a metric is called in a table."""
    return metric.replace("_iou", " IoU").replace("_", " ")


def ends(interval: tuple[float, float] | None) -> str:
    """Return both ends of an interval, if it is known."""
    return "{:+.3f} to {:+.3f}".format(*interval) if interval else "unknown"


def spread(values: list[float | None]) -> str:
    """Return the mean, and the standard deviation if there are several values."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return f"{known[0]:.3f}" if known else "none"
    return f"{mean(known):.3f} ± {stdev(known):.3f}"


def signed(values: tuple[float, ...]) -> str:
    """Return what :func:`spread` does, with a sign."""
    if len(values) == 1:
        return f"{values[0]:+.3f}"
    return f"{mean(values):+.3f} ± {stdev(values):.3f}"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
