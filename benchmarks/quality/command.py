"""The command that compares methods on a folder with masks."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks.quality.bars import Bars
from benchmarks.quality.tables import show_report
from segmix_core.cli.console import Console
from segmix_core.cli.license import print_licenses
from segmix_core.cli.options import AnyJson, takes
from segmix_core.cli.settings import build_config, flag, parse_assignment
from segmix_core.errors import ConfigError
from segmix_core.methods import Cam, MethodSettings
from segmix_core.runs.child import EXIT_CANCELED, EXIT_COMPLETED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.quality.report import Report
    from benchmarks.quality.results import MethodResult
    from benchmarks.quality.training import Training
    from segmix_core.settings import RunSettings


@dataclass(frozen=True, kw_only=True)
class QualityOptions(AnyJson):
    """What ``quality`` takes."""

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
    ] = "cam,segmix,segmix-plus"
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
    epochs: Annotated[
        int, typer.Option(min=1, help="Passes over the tiles, for all methods.")
    ] = 24
    device: Annotated[str | None, flag("machine.device")] = None
    threads: Annotated[int | None, flag("machine.threads")] = None
    against: Annotated[
        str | None,
        typer.Option(help="The row that differences are taken to; default: the first."),
    ] = None
    jobs: Annotated[
        int, typer.Option(min=1, help="Trainings at a time, each a process.")
    ] = 1
    json: Annotated[
        Path | None, typer.Option("--json", help="Write all results to this file.")
    ] = None
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Keep the rows in the file; add what is missing."
        ),
    ] = False


@takes(QualityOptions)
def quality(options: QualityOptions, console: Console) -> int:
    """Compare methods on images with masks, trivial predictors beside them.

    Val masks choose thresholds, test masks score; with --score val, test masks are
    never read. Train masks are read by the method "full" alone, which shows how far
    full supervision gets.
    """
    from benchmarks.quality.training import run_trainings

    report, trainings = _prepare(options)
    print_licenses(_stages(trainings), console)
    code = EXIT_COMPLETED
    try:
        with Bars(console) as bars:
            results = run_trainings(
                trainings, options.jobs, lambda training: bars.begin(training.title)
            )
            with closing(results):
                for result in results:
                    _take(report, result, options.json, console)
    except KeyboardInterrupt:
        code = EXIT_CANCELED
    finally:
        # Rows took hours: an error in a later one must not hide them.
        show_report(report, console)
    return code


def _prepare(options: QualityOptions) -> "tuple[Report, list[Training]]":
    """Return the table so far, with what learns nothing, and what it lacks."""
    from benchmarks.quality.folder import BenchmarkFolder
    from benchmarks.quality.protocols import make_protocol
    from benchmarks.quality.report import Conditions, Report, read_report
    from benchmarks.quality.row_names import parse_variants
    from benchmarks.quality.run import score_trivial
    from benchmarks.quality.training import plan_trainings, share_threads
    from benchmarks.quality.trivial import TRIVIAL_PREDICTORS
    from benchmarks.quality.variants import check_variants

    config = _shared_settings(options)
    variants = parse_variants(options.methods)
    check_variants(variants, config)
    folder = BenchmarkFolder(options.folder, options.score)
    conditions = Conditions.of(
        options.protocol,
        make_protocol(options.protocol, folder),
        share_threads(config, options.jobs),
    )
    file = _checked_file(options)
    report = Report(conditions)
    if file and file.exists():
        report = read_report(file, conditions)
    report.expect([*TRIVIAL_PREDICTORS, *(variant.name for variant in variants)])
    report.against = options.against or report.against or variants[0].name
    trained = [name for name in report.methods if name not in TRIVIAL_PREDICTORS]
    if report.against not in trained:
        raise ConfigError(
            f"{report.against!r} is not one of the trained methods "
            f"{', '.join(trained)}.",
            "Pass one of --methods as --against.",
        )
    for result in score_trivial(folder):
        # They are exact, so the same images give the same counts.
        if not report.add(result) and file:
            raise ConfigError(
                f"The images or masks changed since {file.name} was written: "
                f"'{result.method}' has other pixel counts.",
                "Restore them, or choose a new file.",
            )
    if file:
        report.write(file)
    return report, plan_trainings(
        report, folder, variants, seeds=options.seeds, segmenter=options.segmenter
    )


def _shared_settings(options: QualityOptions) -> "RunSettings":
    """Return the settings of all rows; of training what all methods have."""
    own = [
        name
        for name, _ in map(parse_assignment, options.set or [])
        if name.startswith("train.")
        and name.removeprefix("train.") not in MethodSettings.fields()
    ]
    if own:
        raise ConfigError(
            f"Not all methods have the setting {own[0]}.",
            f"Give it to the rows that have it, as in segmix:{own[0]}=VALUE.",
        )
    flags = {
        # The method that has what all have, and nothing else.
        "train.method": Cam.title,
        "train.epochs": options.epochs,
        "machine.device": options.device,
        "machine.threads": options.threads,
    }
    return build_config(flags, options.set or [], None)


def _checked_file(options: QualityOptions) -> Path | None:
    """Return the file of ``--json``, where there may be one only with ``--resume``."""
    file = options.json
    if options.resume and file is None:
        raise ConfigError(
            "--resume needs --json FILE.",
            "Pass the results file to resume.",
        )
    if file and file.exists() and not options.resume:
        raise ConfigError(
            f"{file} already exists.",
            "Pass --resume to continue it, delete it, or choose another file.",
        )
    return file


def _stages(trainings: "Sequence[Training]") -> "Iterator[tuple[str, RunSettings]]":
    """Yield the stages of trainings, with the settings of their rows."""
    for training in trainings:
        config = training.variant.apply(training.config)
        yield "train", config
        if training.segmenter:
            yield "train-segmenter", config


def _take(
    report: "Report", result: "MethodResult", file: Path | None, console: Console
) -> None:
    if not report.add(result):
        console.warn(
            f"{result.method}, seed {result.seed}, was trained again for its "
            f"segmenter, and its {result.scored} came out otherwise than in {file}: "
            "the machine, the version or the images may have changed."
        )
    if file:
        report.write(file)
