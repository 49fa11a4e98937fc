"""The stages of the demo; finished ones are skipped, interrupted ones resumed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segmix_core.cli.console import Console
from segmix_core.cli.options import (
    CamOptions,
    ExportOptions,
    FollowingOptions,
    PredictOptions,
    PseudoMaskOptions,
    SegmenterOptions,
    StageOptions,
    TrainOptions,
)
from segmix_core.cli.settings import parse_assignment
from segmix_core.cli.stages import Order, run_stage
from segmix_core.cli.watch import stopping, watch
from segmix_core.project.changed_files import find_changed
from segmix_core.runs.child import EXIT_COMPLETED
from segmix_core.runs.folder import RunFolder, list_runs, read_requests
from segmix_core.runs.outdated import find_outdated
from segmix_core.runs.request import RunRequest
from segmix_core.runs.status import RunState

if TYPE_CHECKING:
    from segmix_core.project.store import ProjectStore

FORMAT = "ome"
_OPTIONS: dict[str, type[StageOptions]] = {
    "train": TrainOptions,
    "cams": CamOptions,
    "pseudo-masks": PseudoMaskOptions,
    "train-segmenter": SegmenterOptions,
    "predict": PredictOptions,
    "export": ExportOptions,
}


@dataclass(frozen=True, slots=True)
class DemoStage:
    """A stage with the settings of the demo."""

    name: str
    settings: tuple[str, ...] = ()

    @property
    def format(self) -> str | None:
        """Format of the written files."""
        return FORMAT if self.name in ("predict", "export") else None

    def is_asked_by(self, request: RunRequest, source: RunFolder | None) -> bool:
        """Whether a run is of this stage in the demo and reads ``source``."""
        if request.stage != self.name or request.options.get("format") != self.format:
            return False
        read = set(request.inputs.values())
        if read != ({source.path} if source else set()):
            return False
        return all(
            _setting(request.config, name) == value
            for name, value in map(parse_assignment, self.settings)
        )

    def order(
        self, project: Path, source: RunFolder | None, threads: int | None
    ) -> Order:
        """Return the stage as a user would type it to read ``source``."""
        options = _OPTIONS[self.name]
        given: dict[str, object] = {"set": list(self.settings), "threads": threads}
        if source is not None and issubclass(options, FollowingOptions):
            given["run"] = str(source.path)
        return Order(self.name, options(project=project, **given), self.format)  # type: ignore[arg-type]

    def resume(self, project: Path, run: RunFolder) -> Order:
        """Return the order to resume a run."""
        options = _OPTIONS[self.name](project=project, resume=str(run.path))
        return Order(self.name, options, self.format)


def run_demo_stage(
    stage: DemoStage,
    project: Path,
    source: RunFolder | None,
    threads: int | None,
    console: Console,
) -> tuple[int, RunFolder | None]:
    """Complete a stage, continuing an earlier demo.

    Parameters
    ----------
    stage
        The stage.
    project
        The demo's project.
    source
        The run that the stage reads; None for the first stage.
    threads
        CPU threads; None for the default.
    console
        Prints the progress.

    Returns
    -------
    code, run
        Exit code of the stage, and the run if it is completed.
    """
    run = _find_run(stage, project, source)
    state = None if run is None else run.state()
    if run is not None and state is RunState.COMPLETED:
        console.say(f"{stage.name}: done before ({run.name}).")
        return EXIT_COMPLETED, run
    if run is not None and state is RunState.RUNNING:
        # It continued when the demo was killed.
        console.say(f"{stage.name}: still running ({run.name}).")
        with stopping(run, console):
            code = watch(run, console)
    elif run is not None:
        console.say(f"{stage.name}: resuming {run.name}.")
        code = run_stage(stage.resume(project, run), console)
    else:
        code = run_stage(stage.order(project, source, threads), console)
    # Labels changed meanwhile are used by the next demo.
    return code, next(_runs(stage, project, source), None)


def _find_run(
    stage: DemoStage, project: Path, source: RunFolder | None
) -> RunFolder | None:
    """Return the newest run of this stage that the demo can use or resume."""
    from segmix_core.project.store import ProjectStore

    with ProjectStore.open(project) as store:
        outdated = _find_outdated(store)
    for run in _runs(stage, project, source):
        if run in outdated:
            continue
        if run.state() is not RunState.COMPLETED or _has_files(run):
            return run
    return None


def _runs(
    stage: DemoStage, project: Path, source: RunFolder | None
) -> Iterator[RunFolder]:
    """Yield the runs of this stage in the demo, newest first."""
    for run, request in read_requests(reversed(list_runs(project / "runs"))):
        if stage.is_asked_by(request, source):
            yield run


def _find_outdated(store: "ProjectStore") -> frozenset[RunFolder]:
    return find_outdated(
        list_runs(store.runs_path),
        store.last_changes(),
        revision=store.revision,
        files_changed=bool(find_changed(store.images())),
    )


def _has_files(run: RunFolder) -> bool:
    """Whether the files written by a completed run still exist."""
    ended = run.ended()
    files = ended.results.get("files", []) if ended else []
    return isinstance(files, list) and all(Path(str(file)).exists() for file in files)


def _setting(config: Mapping[str, object], name: str) -> object:
    section, _, field = name.partition(".")
    part = config.get(section)
    return part.get(field) if isinstance(part, Mapping) else None
