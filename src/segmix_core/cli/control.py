"""The commands for a running job: watch and stop."""

from dataclasses import dataclass
from typing import Annotated

import typer

from segmix_core.cli.console import Console
from segmix_core.cli.options import ProjectOptions, takes
from segmix_core.cli.watch import report, watch
from segmix_core.errors import JobError
from segmix_core.runs.child import EXIT_COMPLETED
from segmix_core.runs.folder import RunFolder, list_runs
from segmix_core.runs.inputs import find_run
from segmix_core.runs.launch import kill
from segmix_core.runs.status import RunState


@dataclass(frozen=True, kw_only=True)
class RunOptions(ProjectOptions):
    """Options of commands on a run."""

    run: Annotated[
        str | None,
        typer.Argument(
            help="Name or folder; default: the newest run in progress, else the newest."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class StopOptions(RunOptions):
    """Options of ``stop``."""

    kill: Annotated[
        bool, typer.Option("--kill", help="Kill the process if it does not respond.")
    ] = False


@takes(RunOptions)
def watch_run(options: RunOptions, console: Console) -> int:
    """Watch a run. Ctrl-C stops watching; the run continues."""
    folder = _chosen(options)
    try:
        return watch(folder, console)
    except KeyboardInterrupt:
        console.say(f"The run continues: {folder.path}")
        return EXIT_COMPLETED


@takes(StopOptions)
def stop(options: StopOptions, console: Console) -> int:
    """Ask a run to stop within its next step; it can be resumed."""
    folder = _chosen(options)
    if folder.state() is not RunState.RUNNING:
        console.say(f"{folder.name} is not running.")
        return report(folder, console)
    folder.request_stop()
    if options.kill:
        kill(folder)
    console.say(f"Asked to stop: {folder.path}")
    console.result({"run": str(folder.path), "state": str(folder.state())})
    return EXIT_COMPLETED


def _chosen(options: RunOptions) -> RunFolder:
    runs = options.project / "runs"
    if options.run:
        return find_run(runs, options.run)
    if found := list_runs(runs):
        running = [run for run in found if run.state() is RunState.RUNNING]
        return (running or found)[-1]
    raise JobError(f"{runs} contains no runs.", "Start one with 'segmix train'.")
