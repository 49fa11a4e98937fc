"""Commands for damaged projects: verify, repair, snapshots, restore."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TextColumn, TimeRemainingColumn

from segmix_core.cli.console import Console
from segmix_core.cli.options import ProjectOptions, takes
from segmix_core.project.reader import check_folders
from segmix_core.project.repair import repair as repair_project
from segmix_core.project.restore import restore as restore_project
from segmix_core.project.snapshots import KeptCopy, list_kept, list_snapshots
from segmix_core.project.verify import find_faults
from segmix_core.runs.child import EXIT_COMPLETED, EXIT_ERROR


@takes(ProjectOptions)
def verify(options: ProjectOptions, console: Console) -> int:
    """Check that a project can be read and matches its recorded changes."""
    with _Steps(console, "Checking the journal") as steps:
        faults = find_faults(options.project, steps.show)
    for fault in faults:
        console.say(fault, "red")
    if faults:
        console.say("Run 'segmix repair' or 'segmix restore' on this project.")
    else:
        console.say(f"No problems found in {options.project}.", "green")
    console.result({"sound": not faults, "faults": list(faults)})
    return EXIT_ERROR if faults else EXIT_COMPLETED


@dataclass(frozen=True, kw_only=True)
class RepairOptions(ProjectOptions):
    """Options of ``repair``."""

    to: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the repaired copy; default: next to the original."
        ),
    ] = None


@takes(RepairOptions)
def repair(options: RepairOptions, console: Console) -> int:
    """Recover everything readable from a damaged project into a new one."""
    with _Steps(console, "Replaying the journal") as steps:
        report = repair_project(options.project, options.to, steps.show)
    console.say(
        f"Wrote {report.path} with {report.tiles} tiles from {report.entries} "
        "changes. The original project was not changed; runs and exports were not "
        "copied.",
        "green",
    )
    for sentence in report.lost:
        console.warn(sentence)
    if not report.lost:
        console.say("Nothing was lost.")
    console.result(
        {
            "project": str(report.path.absolute()),
            "entries": report.entries,
            "tiles": report.tiles,
            "lost": list(report.lost),
        }
    )
    return EXIT_ERROR if report.lost else EXIT_COMPLETED


@takes(ProjectOptions)
def snapshots(options: ProjectOptions, console: Console) -> int:
    """List the snapshots of a project, newest first."""
    check_folders(options.project)
    found, kept = list_snapshots(options.project), list_kept(options.project)
    if found:
        console.table(
            "Snapshots",
            ["name", "made", "MB"],
            [
                [entry.name, f"{entry.made:%Y-%m-%d %H:%M}", f"{entry.size / 1e6:.1f}"]
                for entry in found
            ],
        )
    else:
        console.say(
            "There are no snapshots yet. SegMix takes one before the first change of "
            "each day."
        )
    _tell_kept(kept, console)
    console.result(
        {
            "snapshots": [
                {
                    "name": entry.name,
                    "made": entry.made.isoformat(),
                    "bytes": entry.size,
                    "path": str(entry.path.absolute()),
                }
                for entry in found
            ],
            "kept": [
                {"path": str(copy.path.absolute()), "bytes": copy.size} for copy in kept
            ],
        }
    )
    return EXIT_COMPLETED


def _tell_kept(kept: Sequence[KeptCopy], console: Console) -> None:
    if kept:
        console.say(
            "SegMix never deletes these copies, made by 'segmix restore' and by "
            "conversions from older formats. Delete those you no longer need:"
        )
    for copy in kept:
        console.say(f"{copy.path.absolute()} ({copy.size / 1e6:.1f} MB)")


@dataclass(frozen=True, kw_only=True)
class RestoreOptions(ProjectOptions):
    """Options of ``restore``."""

    snapshot: Annotated[
        str, typer.Argument(help="Name of the snapshot; see 'segmix snapshots'.")
    ]


@takes(RestoreOptions)
def restore(options: RestoreOptions, console: Console) -> int:
    """Restore a project from a snapshot; the current state is kept."""
    kept = restore_project(options.project, options.snapshot)
    console.say(f"Restored {options.project} from {options.snapshot}.", "green")
    if kept.exists():
        console.say(f"The previous state is kept in {kept}.")
    console.result(
        {"project": str(options.project.absolute()), "kept": str(kept.absolute())}
    )
    return EXIT_COMPLETED


class _Steps:
    """A progress bar of journal entries with the time left, on stderr of a terminal."""

    def __init__(self, console: Console, text: str) -> None:
        self._bar = Progress(
            *Progress.get_default_columns()[:2],
            TextColumn("{task.completed} of {task.total}"),
            TimeRemainingColumn(),
            console=console.err,
            transient=True,
        )
        self._task = self._bar.add_task(text, total=None)

    def show(self, done: int, total: int) -> None:
        """Show how many journal entries are done."""
        self._bar.update(self._task, completed=done, total=total)

    def __enter__(self) -> "_Steps":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
