"""The command that compares methods on a folder with masks."""

import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
import numpy.typing as npt
import typer
from rich.progress import BarColumn, Progress, TextColumn

from segmix_core import events
from segmix_core.cli.options import AnyJson, takes
from segmix_core.cli.settings import build_config, flag
from segmix_core.cli.voice import Voice
from segmix_core.cli.watch import time_left
from segmix_core.errors import ConfigError
from segmix_core.files import write_json
from segmix_core.runs.child import EXIT_CANCELLED, EXIT_COMPLETED

if TYPE_CHECKING:
    from segmix_core.benchmark.run import MethodResult
    from segmix_core.config import RunConfig

_METRICS = ("mean_iou", "foreground_iou", "background_iou", "dice", "image_mean_iou")


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(AnyJson):
    """What ``benchmark`` takes."""

    folder: Annotated[
        Path, typer.Argument(help="images/ masks/ labels.csv classes.csv patches.csv")
    ]
    protocol: Annotated[
        str, typer.Option(help="p1: one class an image; p2: windows with tags.")
    ]
    methods: Annotated[
        str,
        typer.Option(
            help="Names, separated by commas; NAME:section.field=value+... is a row "
            "with settings of its own."
        ),
    ] = "cam,segmix"
    score: Annotated[
        str,
        typer.Option(help="Whose masks score: test; val while settings are chosen."),
    ] = "test"
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each method.")] = 1
    segmenter: Annotated[
        bool,
        typer.Option(
            "--segmenter",
            help="Also train a segmenter on the masks that each method makes of train.",
        ),
    ] = False
    set: Annotated[
        list[str] | None,
        typer.Option(help="Change a setting: section.field=value. Repeatable."),
    ] = None
    epochs: Annotated[int | None, flag("train.epochs")] = None
    device: Annotated[str | None, flag("machine.device")] = None
    threads: Annotated[int | None, flag("machine.threads")] = None
    json: Annotated[
        Path | None, typer.Option("--json", help="Write all results to this file.")
    ] = None


@takes(BenchmarkOptions)
def benchmark(options: BenchmarkOptions, voice: Voice) -> int:
    """Compare methods on images with masks, trivial predictors beside them.

    Val masks choose thresholds, test masks score; with --score val, test masks are
    never read. Train masks are read by the method "full" alone, which shows how far
    full supervision gets.
    """
    from segmix_core.benchmark.folder import BenchmarkFolder
    from segmix_core.benchmark.protocols import make_protocol
    from segmix_core.benchmark.run import run_method, score_trivial
    from segmix_core.benchmark.variants import check_variants
    from segmix_core.cli.variants import parse_variants

    config = build_config(
        {
            "train.epochs": options.epochs,
            "machine.device": options.device,
            "machine.threads": options.threads,
        },
        options.set or [],
        None,
    )
    variants = parse_variants(options.methods)
    check_variants(variants, config)
    folder = BenchmarkFolder(options.folder, options.score)
    protocol = make_protocol(options.protocol, folder)
    report = _Report(options, config)
    report.results += score_trivial(folder)
    with _Bar(voice) as bar:
        for seed in range(options.seeds):
            for variant in variants:
                bar.begin(f"{variant.name}, seed {seed}")
                seeds = {"train.seed": seed, "segmenter.seed": seed}
                rows = run_method(
                    protocol,
                    variant,
                    config.replace(seeds),
                    bar,
                    segmenter=options.segmenter,
                )
                missing = 1 + options.segmenter
                for row in rows:
                    report.add(row)
                    missing -= 1
                if missing:
                    report.show(voice)
                    return EXIT_CANCELLED
    report.show(voice)
    return EXIT_COMPLETED


class _Report:
    """All results so far, on disk after each of them."""

    def __init__(self, options: BenchmarkOptions, config: "RunConfig") -> None:
        self._options = options
        self._config = config
        self._started = time.time()
        self.results: list[MethodResult] = []

    def add(self, result: "MethodResult") -> None:
        """Take in a result, and write everything to the file of ``--json``."""
        self.results.append(result)
        if self._options.json is None:
            return
        content = {
            "folder": self._options.folder.name,
            "protocol": self._options.protocol,
            "split": self._options.score,
            "config": self._config.model_dump(mode="json"),
            "seconds": time.time() - self._started,
            "results": [entry.to_json() for entry in self.results],
            "summary": self._summary(),
        }
        try:
            write_json(self._options.json, content)
        except OSError as error:
            raise ConfigError(
                f"to be able to write {self._options.json}",
                f"'{error.strerror}'",
                "Give --json a file in a folder that exists and can be written.",
            ) from error

    def show(self, voice: Voice) -> None:
        """Print a row a method."""
        rows = [
            [
                _title(entry),
                entry["scored"],
                entry["seeds"],
                *(
                    _mean_and_sd(entry[metric])
                    for metric in (*_METRICS, "class_mean_iou")
                ),
            ]
            for entry in self._summary()
        ]
        heads = [name.replace("_", " ") for name in (*_METRICS, "class_mean_iou")]
        voice.table(
            f"{self._options.folder.name}, {self._options.protocol}, "
            f"{self._options.score} images",
            ["method", "scored", "seeds", *heads],
            rows,
        )

    def _summary(self) -> list[dict[str, Any]]:
        """Return for each row of the table the values of all its seeds."""
        grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for entry in self.results:
            row = entry.method, entry.scored
            grouped.setdefault(row, []).append(entry.to_json())
        return [
            {
                "method": method,
                "scored": scored,
                "reads_train_masks": entries[0]["reads_train_masks"],
                "seeds": len(entries),
                **{
                    metric: [entry[metric] for entry in entries]
                    for metric in (*_METRICS, "class_mean_iou")
                },
            }
            for (method, scored), entries in grouped.items()
        ]


def _title(entry: dict[str, Any]) -> str:
    mark = " (reads train masks)" if entry["reads_train_masks"] else ""
    return f"{entry['method']}{mark}"


def _mean_and_sd(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "none"
    mean = f"{np.mean(known):.3f}"
    return mean if len(known) == 1 else f"{mean} ± {np.std(known, ddof=1):.3f}"


class _Bar:
    """Listens to a training and shows its progress."""

    def __init__(self, voice: Voice) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[left]}"),
            console=voice.console,
        )
        self._voice = voice

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def begin(self, title: str) -> None:
        """Start the bar of a training."""
        self._task = self._progress.add_task(title, total=None, left="")

    def emit(self, event: events.Event) -> None:
        """Show what matters of an event."""
        match event:
            case events.StageStarted():
                self._progress.update(self._task, total=event.total_steps, completed=0)
            case events.Progress():
                self._progress.update(
                    self._task,
                    completed=event.step,
                    left=time_left(event.seconds_left),
                )
            case events.Warned():
                self._voice.warn(event.message)

    def should_stop(self) -> bool:
        """Never: Ctrl-C ends the program, and what is done has been written."""
        return False

    def save_preview(
        self, step: int, content: str, **arrays: npt.NDArray[np.generic]
    ) -> None:
        """Show nothing."""
