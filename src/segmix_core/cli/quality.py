"""The command that scores masks: evaluate."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segmix_core.cli.console import Console
from segmix_core.cli.options import ProjectOptions, takes
from segmix_core.runs.child import EXIT_COMPLETED
from segmix_core.runs.folder import RunFolder, find_latest
from segmix_core.runs.inputs import find_inputs, find_run
from segmix_core.stage_registry import STAGES

if TYPE_CHECKING:
    from segmix_core.evaluation import Evaluation


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(ProjectOptions):
    """Options of ``evaluate``."""

    masks: Annotated[
        Path,
        typer.Option(help="Ground truth mask of class indices, or a folder of masks."),
    ]
    run: Annotated[
        str | None,
        typer.Option(help="Run of predict or pseudo-masks; default: the newest run."),
    ] = None
    corrected: Annotated[
        bool, typer.Option(help="Apply corrections to the masks first.")
    ] = True


@takes(EvaluateOptions)
def evaluate(options: EvaluateOptions, console: Console) -> int:
    """Score the masks of a run against ground truth masks."""
    from segmix_core.evaluation import evaluate_run
    from segmix_core.project.store import ProjectStore
    from segmix_core.stages.classes import check_mask_classes

    with ProjectStore.open(options.project) as store:
        runs = store.runs_path
        chosen = find_run(runs, options.run) if options.run else _newest(runs)
        # Every run that can be exported can be scored.
        [run] = find_inputs(runs, "export", chosen).values()
        check_mask_classes(store, run)
        result = evaluate_run(store, run, options.masks, corrected=options.corrected)
    console.say(
        f"Run {run.name}: {result.images} of {result.run_images} images and "
        f"{result.pixels:,} pixels ({result.counted:.1%} of the ground truth masks) "
        "count."
    )
    show_scores(console, {run.name: result})
    for note in result.notes:
        console.warn(note)
    console.result({"run": str(run), **result.to_json()})
    return EXIT_COMPLETED


def _newest(runs_path: Path) -> RunFolder | None:
    """Return the newest completed run of any stage that makes masks."""
    found = [find_latest(runs_path, stage) for stage in STAGES["export"].inputs]
    runs = [run for run in found if run is not None]
    return max(runs, key=lambda run: run.request().created, default=None)


def show_scores(console: Console, scores: "dict[str, Evaluation]") -> None:
    """Print a table with a column per evaluation and a row per class."""
    names = list(next(iter(scores.values())).class_iou)
    rows = [
        ["mean IoU", *(_number(found.mean_iou) for found in scores.values())],
        ["mean Dice", *(_number(found.mean_dice) for found in scores.values())],
        *(
            [f"IoU {name}", *(_number(s.class_iou[name]) for s in scores.values())]
            for name in names
        ),
        ["answered", *(_number(found.answered) for found in scores.values())],
    ]
    console.table("Scores, all pixels together", ["", *scores], rows)


def _number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3f}"
