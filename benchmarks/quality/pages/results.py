"""A file of results, as what its table and its figure show."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import Any, Self

from benchmarks.quality.paired import Difference, paired_differences
from segmix_core.errors import ProjectError

Row = Mapping[str, Any]
"""One training and its scores, as in the file."""

TITLES = {
    "cam": "CAM",
    "grad-cam": "Grad-CAM",
    "seam": "SEAM",
    "puzzle-cam": "Puzzle-CAM",
    "fixed-shuffle": "Fixed shuffle",
    "cellmix-schedule": "CellMix schedule",
    "segmix": "SegMix",
    "segmix-plus": "SegMix+",
    "full": "Full supervision",
}
"""How methods are called on a page."""
_SETTING = re.compile(r"(?:^|\+)\w+\.(\w+=.*?)(?=\+\w+\.\w+=|$)")


@dataclass(frozen=True, slots=True)
class Line:
    """A method of a table: its trainings, one a seed.

    Attributes
    ----------
    method
        As it is written on the command line.
    maps, segmenter
        Rows of its maps and of the segmenters that learned from them; may be empty.
    maps_difference, segmenter_difference
        To the row that the file compares with, seed by seed.
    """

    method: str
    maps: tuple[Row, ...]
    segmenter: tuple[Row, ...]
    maps_difference: Difference | None = None
    segmenter_difference: Difference | None = None

    @property
    def reads_train_masks(self) -> bool:
        """Whether it is no weak supervision."""
        return any(row["reads_train_masks"] for row in (*self.maps, *self.segmenter))


@dataclass(frozen=True)
class Results:
    """What ``python -m benchmarks quality --json`` wrote.

    Attributes
    ----------
    name
        Of the file, without its ending.
    content
        Of the file.
    """

    name: str
    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path, split: str) -> Self:
        """Return the results in a file.

        Raises
        ------
        ProjectError
            If they are scores of another split than ``split``.
        """
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["split"] != split:
            raise ProjectError(
                f"{path.name} has scores of {content['split']} images, not of {split} "
                "images.",
                "Put scores of test into docs/results/, and those of val into "
                "docs/lab/choices/.",
            )
        return cls(path.stem, content)

    @cached_property
    def lines(self) -> list[Line]:
        """The trained methods, the best first, those that read train masks last."""
        rows, groups = self.content["results"], self.content["images"]["group"]
        differences = {
            (entry.method, entry.scored): entry
            for entry in paired_differences(rows, self.content["against"], groups)
        }
        methods = dict.fromkeys(
            row["method"] for row in rows if row["seed"] is not None
        )
        lines = [
            Line(
                method,
                self._rows(method, "maps"),
                self._rows(method, "segmenter"),
                differences.get((method, "maps")),
                differences.get((method, "segmenter")),
            )
            for method in methods
        ]
        return sorted(lines, key=_place)

    @property
    def trivial(self) -> Row:
        """The predictor that learns nothing and has the highest mean IoU."""
        rows: Sequence[Row] = self.content["results"]
        found = [row for row in rows if row["seed"] is None]
        return max(found, key=lambda row: row["mean_iou"])

    @property
    def images(self) -> str:
        """What scored, for instance "150 test images"."""
        return f"{len(self.content['images']['name'])} {self.content['split']} images"

    @property
    def seeds(self) -> int:
        """The most trainings of a method."""
        return max(len(line.maps) for line in self.lines)

    @property
    def conditions(self) -> str:
        """What all rows share, as a sentence."""
        settings = self.content["config"]["train"]
        precision = self.content["config"]["machine"].get("precision")
        parts = [
            self.images,
            _count(self.seeds, "seed"),
            _count(settings["epochs"], "epoch"),
            f"batch {settings['batch_size']}",
            f"backbone {settings['backbone']}",
            *([f"precision {precision}"] if precision else []),
        ]
        return f"{', '.join(parts)}."

    def _rows(self, method: str, scored: str) -> tuple[Row, ...]:
        return tuple(
            row
            for row in self.content["results"]
            if (row["method"], row["scored"]) == (method, scored)
        )


def values_of(rows: Sequence[Row], metric: str = "mean_iou") -> list[float]:
    """Return a metric of each row, in 0..1."""
    return [row[metric] for row in rows]


def title_of(method: str) -> str:
    """Return how a method is called, with the settings of its own in brackets.

    Their sections are left out: ``cam:train.epochs=8`` is "CAM (epochs=8)".
    """
    name, colon, settings = method.partition(":")
    fields = ", ".join(_SETTING.findall(settings))
    return f"{TITLES[name]} ({fields})" if colon else TITLES[name]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _place(line: Line) -> tuple[bool, float, float]:
    masks, segmenter = (
        mean(values_of(rows)) if rows else 0.0 for rows in (line.maps, line.segmenter)
    )
    return line.reads_train_masks, -masks, -segmenter
