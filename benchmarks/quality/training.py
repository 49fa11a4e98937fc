"""The trainings that a table needs, one after the other or side by side."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.quality.folder import BenchmarkFolder
from benchmarks.quality.protocols import make_protocol
from benchmarks.quality.report import Report
from benchmarks.quality.results import MethodResult
from benchmarks.quality.run import run_method
from benchmarks.quality.side_by_side import run_side_by_side
from benchmarks.quality.variants import Variant
from segmix_core.runs.launch import thread_count
from segmix_core.settings import RunSettings
from segmix_core.training.task import Listener


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A row trained with one seed: all that another process needs to know of it.

    Attributes
    ----------
    folder, scored
        As in :class:`benchmarks.quality.folder.BenchmarkFolder`.
    config
        With the seed; equal for all rows.
    segmenter
        Train a segmenter on the method's masks, too.
    """

    folder: Path
    scored: str
    protocol: str
    variant: Variant
    config: RunSettings
    segmenter: bool

    @property
    def title(self) -> str:
        """What is trained, for people."""
        return f"{self.variant.name}, seed {self.config.train.seed}"

    def run(self, listener: Listener) -> Iterator[MethodResult]:
        """Train and yield the results, as :func:`run_method` does."""
        protocol = make_protocol(
            self.protocol, BenchmarkFolder(self.folder, self.scored)
        )
        return run_method(
            protocol, self.variant, self.config, listener, segmenter=self.segmenter
        )


def plan_trainings(
    report: Report,
    folder: BenchmarkFolder,
    variants: Sequence[Variant],
    *,
    seeds: int,
    segmenter: bool,
) -> list[Training]:
    """Return the trainings whose results the report does not have.

    A segmenter learns from the masks of a trained method, which nobody keeps: where
    only its row is missing, the method is trained again.
    """
    shared = report.conditions
    return [
        Training(
            folder=folder.path,
            scored=shared.split,
            protocol=shared.protocol,
            variant=variant,
            config=shared.config.replace({"train.seed": seed, "segmenter.seed": seed}),
            segmenter=wants_segmenter,
        )
        for seed in range(seeds)
        for variant in variants
        for wants_segmenter in [
            segmenter and not report.has(variant.name, "segmenter", seed)
        ]
        if wants_segmenter or not report.has(variant.name, "maps", seed)
    ]


def run_trainings(
    trainings: Sequence[Training],
    processes: int,
    listen: Callable[[Training], Listener],
) -> Generator[MethodResult, None, None]:
    """Yield the results of trainings as they come.

    One process is this one; more are as in :func:`run_side_by_side`.
    """
    if processes > 1:
        yield from run_side_by_side(trainings, processes, listen)
        return
    for training in trainings:
        yield from training.run(listen(training))


def share_threads(config: RunSettings, processes: int) -> RunSettings:
    """Return settings with the threads that one of several processes may use.

    Those that were asked for, or else its share of what one process would use.
    """
    if config.machine.threads or processes == 1:
        return config
    return config.replace({"machine.threads": max(1, thread_count({}) // processes)})
