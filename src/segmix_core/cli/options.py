"""Options of commands: dataclasses whose fields are arguments and options."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_type_hints

import typer

from segmix_core.cli.console import Console
from segmix_core.cli.settings import flag
from segmix_core.errors import SegmixError
from segmix_core.runs.child import EXIT_ERROR


@dataclass(frozen=True, kw_only=True)
class AnyJson:
    """Base of all options: whether to print JSON."""

    json: bool | Path | None = None


@dataclass(frozen=True, kw_only=True)
class Options(AnyJson):
    """Options of commands that print one JSON object."""

    json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object; text goes to stderr."),
    ] = False


AnyOptions = TypeVar("AnyOptions", bound=AnyJson)
ProjectPath = Annotated[Path, typer.Argument(help="The project folder.")]


def takes(
    options: type[AnyOptions],
) -> Callable[[Callable[[AnyOptions, Console], int]], Callable[..., None]]:
    """Turn a function of ``options`` that returns an exit code into a typer command.

    A SegmixError is printed and gives exit code 2.
    """

    def decorate(function: Callable[[AnyOptions, Console], int]) -> Callable[..., None]:
        def command(**values: Any) -> None:
            given = options(**values)
            console = Console(given.json is True)
            try:
                code = function(given, console)
            except SegmixError as error:
                console.fail(error)
                code = EXIT_ERROR
            raise typer.Exit(code)

        # Typer reads these two, so that the fields are declared only once.
        command.__annotations__ = get_type_hints(options, include_extras=True)
        command.__signature__ = _signature(options)  # type: ignore[attr-defined]
        command.__doc__ = function.__doc__
        return command

    return decorate


def _signature(options: type[AnyJson]) -> inspect.Signature:
    # Put options common to all commands last in their help.
    found = inspect.signature(options)
    first, *rest = found.parameters.values()
    return found.replace(parameters=[*rest, first])


@dataclass(frozen=True, kw_only=True)
class ProjectOptions(Options):
    """Options of commands on a project."""

    project: ProjectPath


@dataclass(frozen=True, kw_only=True)
class StageOptions(ProjectOptions):
    """Options of every stage.

    ``FLAGS`` maps fields to the settings they set.
    """

    FLAGS: ClassVar[dict[str, str]] = {}

    set: Annotated[
        list[str] | None,
        typer.Option(help="Change a setting: section.field=value. Repeatable."),
    ] = None
    config: Annotated[
        Path | None,
        typer.Option(help="JSON file of settings, or an earlier run's config.json."),
    ] = None
    device: Annotated[str | None, flag("machine.device")] = None
    threads: Annotated[int | None, flag("machine.threads")] = None
    resume: Annotated[
        str | None, typer.Option(help="Resume this run (name or folder).")
    ] = None
    detach: Annotated[
        bool,
        typer.Option("--detach", help="Start the run in the background and return."),
    ] = False

    def flags(self) -> dict[str, object]:
        """Return the settings by name; None for flags that were not given."""
        short = {"device": "machine.device", "threads": "machine.threads", **self.FLAGS}
        return {setting: getattr(self, field) for field, setting in short.items()}


@dataclass(frozen=True, kw_only=True)
class FollowingOptions(StageOptions):
    """Options of stages that read another run."""

    run: Annotated[
        str | None,
        typer.Option(
            help="The run to read (name or folder); default: the newest completed one."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(StageOptions):
    """Options of stages that can use several processes."""

    prepare: Annotated[
        bool,
        typer.Option(
            "--prepare",
            help="Create the run without starting it, and print the commands that "
            "start it (one process, torchrun, SLURM).",
        ),
    ] = False


@dataclass(frozen=True, kw_only=True)
class TrainOptions(TrainingOptions):
    """Options of ``train``."""

    FLAGS: ClassVar[dict[str, str]] = {
        "method": "train.method",
        "epochs": "train.epochs",
        "batch_size": "train.batch_size",
        "seed": "train.seed",
        "background": "pseudo_masks.background",
    }

    method: Annotated[str | None, flag("train.method")] = None
    epochs: Annotated[int | None, flag("train.epochs")] = None
    batch_size: Annotated[int | None, flag("train.batch_size")] = None
    seed: Annotated[int | None, flag("train.seed")] = None
    background: Annotated[str | None, flag("pseudo_masks.background")] = None


@dataclass(frozen=True, kw_only=True)
class CamOptions(FollowingOptions):
    """Options of ``cams``."""

    FLAGS: ClassVar[dict[str, str]] = {"batch_size": "cams.batch_size"}

    batch_size: Annotated[int | None, flag("cams.batch_size")] = None


@dataclass(frozen=True, kw_only=True)
class PseudoMaskOptions(FollowingOptions):
    """Options of ``pseudo-masks``."""

    FLAGS: ClassVar[dict[str, str]] = {
        "background": "pseudo_masks.background",
        "fit": "pseudo_masks.fit",
    }

    background: Annotated[str | None, flag("pseudo_masks.background")] = None
    fit: Annotated[bool | None, flag("pseudo_masks.fit")] = None


@dataclass(frozen=True, kw_only=True)
class SegmenterOptions(FollowingOptions, TrainingOptions):
    """Options of ``train-segmenter``."""

    FLAGS: ClassVar[dict[str, str]] = {
        "epochs": "segmenter.epochs",
        "batch_size": "segmenter.batch_size",
        "seed": "segmenter.seed",
    }

    epochs: Annotated[int | None, flag("segmenter.epochs")] = None
    batch_size: Annotated[int | None, flag("segmenter.batch_size")] = None
    seed: Annotated[int | None, flag("segmenter.seed")] = None


Slides = Annotated[
    list[str] | None,
    typer.Argument(help="Names or paths of images of the project; default: all."),
]
Format = Annotated[
    str,
    typer.Option(help="ome: OME-TIFF; generic: TIFF that OpenSlide reads."),
]


@dataclass(frozen=True, kw_only=True)
class PredictOptions(FollowingOptions):
    """Options of ``predict``."""

    FLAGS: ClassVar[dict[str, str]] = {"batch_size": "predict.batch_size"}

    slides: Slides = None
    batch_size: Annotated[int | None, flag("predict.batch_size")] = None
    format: Format = "ome"


@dataclass(frozen=True, kw_only=True)
class ExportOptions(FollowingOptions):
    """Options of ``export``."""

    slides: Slides = None
    format: Format = "ome"
    crop_to_bounds: Annotated[
        bool,
        typer.Option(
            "--crop-to-bounds",
            help="Crop to scanner bounds, the area that QuPath shows.",
        ),
    ] = False
