"""The commands that start a run, one per stage."""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from segmix_core.cli.console import Console
from segmix_core.cli.license import print_license
from segmix_core.cli.naming import image_ids
from segmix_core.cli.options import (
    CamOptions,
    ExportOptions,
    FollowingOptions,
    PredictOptions,
    PseudoMaskOptions,
    SegmenterOptions,
    StageOptions,
    TrainingOptions,
    TrainOptions,
    takes,
)
from segmix_core.cli.settings import build_config
from segmix_core.cli.watch import stopping, watch
from segmix_core.errors import ConfigError, JobError, SegmixError
from segmix_core.runs.child import EXIT_COMPLETED
from segmix_core.runs.commands import PROCESSES, start_commands
from segmix_core.runs.folder import RunFolder
from segmix_core.runs.inputs import find_inputs, find_run
from segmix_core.runs.launch import check_not_running, launch
from segmix_core.runs.request import RunRequest
from segmix_core.settings import RunSettings

if TYPE_CHECKING:
    from segmix_core.project.store import ProjectStore

FORMATS = ("ome", "generic")
_BACKGROUND = "pseudo_masks.background"


@takes(TrainOptions)
def train(options: TrainOptions, console: Console) -> int:
    """Train the CAM classifier on the labeled tiles."""
    return run_stage(Order("train", options), console)


@takes(CamOptions)
def cams(options: CamOptions, console: Console) -> int:
    """Compute the class activation maps of all tiles."""
    return run_stage(Order("cams", options), console)


@takes(PseudoMaskOptions)
def pseudo_masks(options: PseudoMaskOptions, console: Console) -> int:
    """Make pseudo masks from class activation maps."""
    return run_stage(Order("pseudo-masks", options), console)


@takes(SegmenterOptions)
def train_segmenter(options: SegmenterOptions, console: Console) -> int:
    """Train a segmenter on pseudo masks and corrections."""
    return run_stage(Order("train-segmenter", options), console)


@takes(PredictOptions)
def predict(options: PredictOptions, console: Console) -> int:
    """Segment whole slides and write the masks as TIFF."""
    return run_stage(
        Order("predict", options, options.format, options.slides or []), console
    )


@takes(ExportOptions)
def export(options: ExportOptions, console: Console) -> int:
    """Write masks, with corrections, as TIFF."""
    return run_stage(
        Order("export", options, options.format, options.slides or []), console
    )


@dataclass(frozen=True)
class Order:
    """A stage with its options from the command line."""

    stage: str
    options: StageOptions
    format: str | None = None
    slides: list[str] = field(default_factory=list)


def run_stage(order: Order, console: Console) -> int:
    """Launch a stage and watch it; return the exit code."""
    options = order.options
    prepare = isinstance(options, TrainingOptions) and options.prepare
    if prepare and options.detach:
        raise ConfigError(
            "--prepare and --detach cannot be combined.",
            "Leave one of them out.",
        )
    folder = _resumed(order) if options.resume else _created(order, console)
    if not options.resume:
        print_license(folder.request(), console)
    if prepare:
        return _prepare(folder, console)
    pid = launch(folder)
    if options.detach:
        console.say(f"Running as process {pid}: {folder.path}")
        console.result(
            {
                "run": str(folder.path),
                "stage": order.stage,
                "state": "running",
                "pid": pid,
            }
        )
        return EXIT_COMPLETED
    with stopping(folder, console):
        return watch(folder, console)


def _prepare(folder: RunFolder, console: Console) -> int:
    check_not_running(folder)
    folder.clear_stop_request()
    commands = start_commands(folder)
    console.say(f"Prepared: {folder.path}", "green")
    console.say(f"\nOne process:\n{commands.alone}")
    console.say(f"\n{PROCESSES} processes on this machine:\n{commands.machine}")
    console.say(f"\nTwo machines, each with its --node-rank:\n{commands.nodes}")
    console.say(f"\nA script for SLURM:\n{commands.slurm}")
    console.result(
        {
            "run": str(folder.path),
            "stage": folder.request().stage,
            "state": str(folder.state()),
            "commands": asdict(commands),
        }
    )
    return EXIT_COMPLETED


def _created(order: Order, console: Console) -> RunFolder:
    from segmix_core.project.readiness import check_trainable
    from segmix_core.project.store import ProjectStore

    options = order.options
    with ProjectStore.open(options.project) as store:
        if order.stage == "train":
            check_trainable(store)
        given = options.flags(), options.set or [], options.config
        # Report invalid settings before missing runs.
        build_config(*given)
        inputs = _inputs(store, order)
        config = build_config(*given, _defaults(inputs, console))
        request = RunRequest(
            stage=order.stage,
            project=options.project.absolute(),
            config=config.model_dump(mode="json"),
            inputs=inputs,
            options=_choices(store, order),
            revision=store.revision,
        )
        return RunFolder.create(store.runs_path, request)


def _resumed(order: Order) -> RunFolder:
    options = order.options
    given = [name for name, value in options.flags().items() if value is not None]
    if given or options.set or options.config:
        raise ConfigError(
            "A resumed run keeps its settings, but "
            f"{', '.join(given) or '--set or --config'} was given.",
            "Leave the settings out, or start a new run.",
        )
    folder = find_run(options.project / "runs", options.resume or "")
    stage = folder.request().stage
    if stage != order.stage:
        raise JobError(
            f"This is a run of '{stage}', not '{order.stage}'.",
            f"Use 'segmix {stage}'.",
        )
    return folder


def _inputs(store: "ProjectStore", order: Order) -> dict[str, Any]:
    options = order.options
    name = options.run if isinstance(options, FollowingOptions) else None
    run = find_run(store.runs_path, name) if name else None
    return find_inputs(
        store.runs_path,
        order.stage,
        run,
        has_corrections=bool(store.corrected_images()),
    )


def _defaults(inputs: dict[str, Any], console: Console) -> dict[str, object]:
    """Return the defaults that a run inherits from the training before it.

    Pseudo masks use the same background as the masks used in training.
    """
    if "cams" not in inputs:
        return {}
    try:
        training = RunFolder(RunFolder(inputs["cams"]).request().inputs["train"])
        background = RunSettings.parse(training.request().config).trained_background
    except (SegmixError, KeyError) as error:
        reason = (
            error.reason if isinstance(error, SegmixError) else "it was not recorded"
        )
        console.warn(
            f"The background setting of the training is unknown ({reason}). Pass "
            "--background if it was not the default."
        )
        return {}
    if background is None:
        return {}
    console.note(
        f"{training.name} was trained on masks with the background {background}."
    )
    return {_BACKGROUND: background}


def _choices(store: "ProjectStore", order: Order) -> dict[str, Any]:
    if order.format is None:
        return {}
    if order.format not in FORMATS:
        raise ConfigError(
            f"{order.format!r} is not a valid format.",
            f"Choose one of {', '.join(FORMATS)}.",
        )
    chosen: dict[str, Any] = {"format": order.format}
    if order.slides:
        chosen["image_ids"] = [
            image for name in order.slides for image in image_ids(store, name)
        ]
    if isinstance(order.options, ExportOptions) and order.options.crop_to_bounds:
        chosen["crop_to_bounds"] = True
    return chosen
