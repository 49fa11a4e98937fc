"""All results so far: the content of the file that ``quality --json`` writes."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Any, Self, get_args

from benchmarks.quality.folder import BenchmarkFolder
from benchmarks.quality.paired import Difference, paired_differences
from benchmarks.quality.protocol import Protocol, classes_of
from benchmarks.quality.results import MethodResult, Scored
from benchmarks.quality.variants import OF_THE_BENCHMARK
from segmix_core.errors import ConfigError
from segmix_core.files import read_json, write_atomically
from segmix_core.settings import RunSettings

METRICS = (
    "mean_iou",
    "foreground_iou",
    "background_iou",
    "dice",
    "image_mean_iou",
    "class_mean_iou",
)
_MAX_BYTES = 1 << 28
_NUMBERS = re.compile(r"\[\n([\s\d.,eE+\-nul]+)\]")


@dataclass(frozen=True, slots=True)
class Conditions:
    """What all rows share.

    Attributes
    ----------
    images
        Name, class and group of each scored image, in order.
    """

    folder: str
    protocol: str
    split: str
    config: RunSettings
    images: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, name: str, protocol: Protocol, config: RunSettings) -> Self:
        """Return the conditions of a protocol called ``name``."""
        folder = protocol.folder
        return cls(folder.path.name, name, folder.scored, config, _images_of(folder))

    def to_json(self) -> dict[str, Any]:
        """Return the conditions as JSON values."""
        return {
            "folder": self.folder,
            "protocol": self.protocol,
            "split": self.split,
            "config": self.config.model_dump(mode="json"),
            "images": {name: list(values) for name, values in self.images.items()},
        }

    def facts(self) -> dict[str, Any]:
        """Return what has to be equal for rows to stand in one table.

        Rows have method and seed of their own, and where they were computed is no
        part of the answer.
        """
        content = self.to_json()
        settings = {
            f"{section}.{field}": value
            for section, fields in content.pop("config").items()
            if section != "machine"
            for field, value in fields.items()
            if f"{section}.{field}" not in OF_THE_BENCHMARK
        }
        return {**content, **settings}


class Report:
    """The rows so far.

    Parameters
    ----------
    conditions
        What the rows share.
    methods
        Names of the rows, in the order of the table.
    rows
        What an earlier part of the same table found.
    seconds
        How long that took.
    against
        Name of the row that differences are taken to.
    """

    def __init__(
        self,
        conditions: Conditions,
        methods: Sequence[str] = (),
        rows: Sequence[dict[str, Any]] = (),
        seconds: float = 0.0,
        against: str | None = None,
    ) -> None:
        self.conditions = conditions
        self.methods = list(methods)
        self.against = against
        self._rows = {_key(row): row for row in rows}
        self._seconds = seconds
        self._started = time.monotonic()

    def expect(self, methods: Iterable[str]) -> None:
        """Fix the order of the table, whoever is first to end."""
        self.methods = list(dict.fromkeys([*self.methods, *methods]))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows in the order of the table: by seed, then by method."""
        return [self._rows[key] for key in sorted(self._rows, key=self._place)]

    def has(self, method: str, scored: Scored, seed: int | None) -> bool:
        """Return whether there is such a row."""
        return (method, scored, seed) in self._rows

    def add(self, result: MethodResult) -> bool:
        """Take in a result; False if there is one already, with other pixel counts.

        The first one stays.
        """
        row = result.to_json()
        kept = self._rows.setdefault(_key(row), row)
        return bool(kept["counts"] == row["counts"])

    def summary(self) -> list[dict[str, Any]]:
        """Return for each row of the table the values of all its seeds."""
        grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in self.rows:
            grouped.setdefault((row["method"], row["scored"]), []).append(row)
        return [
            {
                "method": method,
                "settings": rows[0]["settings"],
                "scored": scored,
                "reads_train_masks": rows[0]["reads_train_masks"],
                "seeds": len(rows),
                **{metric: [row[metric] for row in rows] for metric in METRICS},
            }
            for (method, scored), rows in grouped.items()
        ]

    def differences(self) -> list[Difference]:
        """Return how much better each row is than the one differences are taken to."""
        if self.against is None:
            return []
        groups = self.conditions.images["group"]
        return paired_differences(self.rows, self.against, groups)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            **self.conditions.to_json(),
            "methods": self.methods,
            "seconds": self._seconds + time.monotonic() - self._started,
            "results": self.rows,
            "summary": self.summary(),
            "against": self.against,
            "differences": [entry.to_json() for entry in self.differences()],
        }

    def write(self, path: Path) -> None:
        """Write the report, the numbers of a list in one line.

        Raises
        ------
        ConfigError
            If the file cannot be written.
        """
        text = _NUMBERS.sub(
            lambda found: f"[{' '.join(found[1].split())}]",
            dumps(self.to_json(), indent=1, ensure_ascii=False),
        )
        try:
            write_atomically(path, lambda file: file.write(text.encode()))
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be written ({error.strerror}).",
                "Choose a file in an existing, writable folder for --json.",
            ) from error

    def _place(self, key: tuple[str, Scored, int | None]) -> tuple[int, int, int]:
        method, scored, seed = key
        # Predictors that learn nothing have no seed, and stand first.
        place = -1 if seed is None else seed
        return place, self.methods.index(method), get_args(Scored).index(scored)


def read_report(path: Path, conditions: Conditions) -> Report:
    """Return the report in a file, made under the same conditions.

    Raises
    ------
    ConfigError
        If there is no such report in the file, or it has other conditions.
    """
    try:
        content = read_json(path, max_bytes=_MAX_BYTES)
        stored = _conditions(content)
        report = Report(
            conditions,
            *(content[name] for name in ("methods", "results", "seconds", "against")),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is not a results file of this version ({type(error).__name__} "
            f"{error}).",
            "Choose a new file.",
        ) from error
    there, here = stored.facts(), conditions.facts()
    for name, value in here.items():
        if there[name] != value:
            raise ConfigError(
                f"The {name} of {path.name} is {_short(there[name])}, not "
                f"{_short(value)}.",
                f"Use the same {name}, or choose another file.",
            )
    return report


def _conditions(content: Mapping[str, Any]) -> Conditions:
    names = ("folder", "protocol", "split", "images")
    config = RunSettings.parse(content["config"])
    return Conditions(**{name: content[name] for name in names}, config=config)


def _key(row: Mapping[str, Any]) -> tuple[str, Scored, int | None]:
    return row["method"], row["scored"], row["seed"]


def _images_of(folder: BenchmarkFolder) -> dict[str, list[str]]:
    images = folder.scored_images
    return {
        "name": [image.name for image in images],
        "class": classes_of(images, folder.class_names),
        "group": [image.group for image in images],
    }


def _short(value: object) -> str:
    text = dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}..."
