"""Writes docs/results.md from the files of ``segmix benchmark --json``.

Usage: python scripts/results.py

Every file in docs/results/ becomes a table, under the text of docs/results/TEXT.md.
"""

import json
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

FOLDER = Path(__file__).parents[1] / "docs" / "results"
METRICS = (
    "mean_iou",
    "foreground_iou",
    "background_iou",
    "dice",
    "image_mean_iou",
    "class_mean_iou",
)


def main() -> int:
    """Write the document and return the exit code."""
    parts = [(FOLDER / "TEXT.md").read_text(encoding="utf-8").rstrip()]
    for path in sorted(FOLDER.glob("*.json")):
        parts += tables(json.loads(path.read_text(encoding="utf-8")), path.name)
    target = FOLDER.with_suffix(".md")
    target.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"Wrote {target}")
    return 0


def tables(content: dict[str, Any], name: str) -> list[str]:
    """Return a heading, the table of methods and the table of classes."""
    title = f"## {content['folder']}, protocol {content['protocol']}"
    settings = content["config"]["train"]
    facts = (
        f"Test images. {settings['epochs']} epochs, batch {settings['batch_size']}, "
        f"backbone {settings['backbone']}. Every seed and class: "
        f"[{name}](results/{name})."
    )
    heads = ["method", "seeds", *map(title_of, METRICS)]
    rows = [
        [
            row_name(entry),
            str(entry["seeds"]),
            *(spread(entry[metric]) for metric in METRICS),
        ]
        for entry in content["summary"]
    ]
    return [title, facts, table(heads, rows), *classes(content["results"])]


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
            f"{entry['mean_iou']:.3f}",
            *(f"{entry['by_class'][name]['mean_iou']:.3f}" for name in names),
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


def spread(values: list[float]) -> str:
    """Return the mean, and the standard deviation if there are several values."""
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{mean(values):.3f} ± {stdev(values):.3f}"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
