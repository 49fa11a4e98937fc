"""The whole loop on the synthetic slide, as one command: demo."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segmix_core.cli.console import Console
from segmix_core.cli.demo_stages import DemoStage, run_demo_stage
from segmix_core.cli.options import Options, takes
from segmix_core.cli.quality import show_scores
from segmix_core.cli.sample import SIZE_PX, SampleFiles, waiting, write_sample
from segmix_core.cli.settings import flag
from segmix_core.cli.typed import find_program, typed
from segmix_core.runs.child import EXIT_CANCELED, EXIT_COMPLETED
from segmix_core.runs.folder import RunFolder

if TYPE_CHECKING:
    from segmix_core.evaluation import Evaluation
    from segmix_core.project.store import ProjectStore

PROJECT_NAME = "sample.segmix"
_MPP = 1.0
_TILE_PX = 64
# Enough to tell the classes apart, in two minutes with one thread.
_STAGES = (
    DemoStage("train", ("train.epochs=8", "train.batch_size=8")),
    DemoStage("cams", ("cams.scales=[1.0]", "cams.flips=false")),
    DemoStage("pseudo-masks"),
    DemoStage("train-segmenter", ("segmenter.epochs=6", "segmenter.batch_size=16")),
    DemoStage("predict"),
    DemoStage("export"),
)


@dataclass(frozen=True, kw_only=True)
class DemoOptions(Options):
    """Options of ``demo``."""

    folder: Annotated[
        Path, typer.Argument(help="Folder for slide, project and results.")
    ] = Path("segmix-demo")
    size: Annotated[
        int, typer.Option(min=512, help="Edge of the slide, in pixels.")
    ] = SIZE_PX
    seed: Annotated[int, typer.Option(min=0, help="Seed of the slide.")] = 0
    threads: Annotated[int | None, flag("machine.threads")] = None


@takes(DemoOptions)
def demo(options: DemoOptions, console: Console) -> int:
    """Run the whole loop on a synthetic slide with a known mask.

    Labels, training with the shuffle curriculum, CAMs, pseudo masks, segmenter,
    prediction, TIFF and scores. If run again, it skips finished stages and resumes
    where it was stopped.
    """
    begun = time.monotonic()
    folder = Path(os.path.normpath(options.folder.absolute()))
    files = SampleFiles(folder)
    project = folder / PROJECT_NAME
    if files.are_there:
        console.say(f"Continuing with {files.slide}.")
    else:
        write_sample(files, options.size, options.seed, console)
    _make_project(project, files, console)
    quiet = _Quiet(console)
    runs: dict[str, RunFolder] = {}
    run: RunFolder | None = None
    for stage in _STAGES:
        code, run = run_demo_stage(stage, project, run, options.threads, quiet)
        if code != EXIT_COMPLETED or run is None:
            if code == EXIT_CANCELED:
                console.say(f"Resume the demo with: {typed('segmix', 'demo', folder)}")
            console.result(quiet.last)
            return code
        runs[stage.name] = run
    scores = _scores(project, files.mask, runs)
    show_scores(console, scores)
    seconds = time.monotonic() - begun
    console.say(f"The demo took {seconds:.0f} s.")
    console.say(_what_next(project))
    console.result(
        {
            "project": str(project),
            "seconds": seconds,
            "scores": {name: found.to_json() for name, found in scores.items()},
        }
    )
    return EXIT_COMPLETED


class _Quiet(Console):
    """A console for the stages: the demo prints one JSON object at the end."""

    def __init__(self, console: Console) -> None:
        super().__init__(console.as_json)
        self.last: dict[str, Any] = {}

    def result(self, content: dict[str, Any]) -> None:
        """Keep the JSON of the last stage."""
        self.last = content


def _what_next(project: Path) -> str:
    if find_program("napari") is None:
        return f"Its masks are in {project / 'exports'}."
    return f"Look at it: {typed('napari', project)}"


def _make_project(project: Path, files: SampleFiles, console: Console) -> None:
    from segmix_core.intake import add_paths

    with _open_project(project) as store:
        # An interrupted demo is resumed here.
        if not store.sources():
            add_paths(store, [files.slide], tile_px=_TILE_PX, mpp=_MPP)
        if (store.tiles().labels >= 0).any():
            return
        with waiting(console, "label"):
            count = _label(store, files.mask)
    console.say(f"Labeled {count} tiles of {files.slide.name} from the ground truth.")


def _open_project(project: Path) -> "ProjectStore":
    from segmix_core.project.database import FILE_NAME
    from segmix_core.project.store import ProjectStore
    from segmix_core.sample.layout import CLASS_NAMES

    if (project / FILE_NAME).exists():
        return ProjectStore.open(project)
    return ProjectStore.create(project, CLASS_NAMES)


def _label(store: "ProjectStore", mask: Path) -> int:
    """Label every tile from the known mask; return the number of tiles."""
    from segmix_core.evaluation import read_mask_file
    from segmix_core.sample.labels import tile_labels

    tiles = store.tiles()
    labels = tile_labels(read_mask_file(mask), tiles.boxes, len(store.classes()))
    store.set_labels(tiles.ids, labels)
    return len(tiles)


def _scores(
    project: Path, mask: Path, runs: dict[str, RunFolder]
) -> "dict[str, Evaluation]":
    from segmix_core.evaluation import evaluate_run
    from segmix_core.project.store import ProjectStore

    titles = {"pseudo-masks": "pseudo masks", "predict": "segmenter"}
    with ProjectStore.open(project) as store:
        return {
            title: evaluate_run(store, runs[stage].path, mask)
            for stage, title in titles.items()
        }
