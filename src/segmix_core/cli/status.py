"""The command ``status``: sources, labels and runs of a project."""

from typing import TYPE_CHECKING, Any

from segmix_core.cli.console import Console
from segmix_core.cli.options import ProjectOptions, takes
from segmix_core.files import printable
from segmix_core.project.changed_files import (
    changed_note,
    find_changed,
    find_missing,
    missing_note,
)
from segmix_core.runs.child import EXIT_COMPLETED
from segmix_core.runs.folder import read_requests, scan_runs
from segmix_core.runs.outdated import find_outdated
from segmix_core.runs.status import RunState

if TYPE_CHECKING:
    from segmix_core.project.store import ProjectStore

_SHOWN_RUNS = 10


@takes(ProjectOptions)
def status(options: ProjectOptions, console: Console) -> int:
    """Show sources, labels and runs of a project."""
    from segmix_core.project.store import ProjectStore

    with ProjectStore.open(options.project) as store:
        sources = [describe_source(store, entry.id) for entry in store.sources()]
        labels = _labels(store)
        changed = find_changed(store.images())
        missing = find_missing(store.images())
        runs = _runs(store, files_changed=bool(changed))
        damaged = _damaged_runs(store)
    _table(console, "Sources", sources)
    _table(console, "Tiles per class", labels)
    # The name of a run includes the stage.
    shown = [{k: v for k, v in run.items() if k != "stage"} for run in runs]
    _table(console, "Runs", shown[-_SHOWN_RUNS:])
    for run in damaged:
        console.warn(f"The run {printable(run['run'])} is damaged: {run['reason']}.")
    if changed:
        console.warn(changed_note(changed))
    if missing:
        console.warn(missing_note(missing))
    console.result(
        {
            "sources": sources,
            "classes": labels,
            "runs": [*damaged, *runs],
            "changed_files": [str(image.path) for image in changed],
            "missing_files": [str(image.path) for image in missing],
        }
    )
    return EXIT_COMPLETED


def describe_source(store: "ProjectStore", source_id: int) -> dict[str, Any]:
    """Return the facts about a source: id, name, kind, counts and path."""
    source = store.source(source_id)
    tiles = store.tiles(source_id)
    return {
        "id": source.id,
        "name": source.name,
        "kind": str(source.kind),
        "images": len(store.images(source_id)),
        "tiles": len(tiles),
        "labeled": int((tiles.labels >= 0).any(axis=1).sum()),
        "path": str(source.path),
    }


def _labels(store: "ProjectStore") -> list[dict[str, Any]]:
    labels = store.tiles().labels
    return [
        {
            "index": entry.index,
            "name": entry.name,
            "color": entry.color,
            "present": int((labels[:, entry.index - 1] == 1).sum()),
            "absent": int((labels[:, entry.index - 1] == 0).sum()),
            "unknown": int((labels[:, entry.index - 1] == -1).sum()),
        }
        for entry in store.classes()
    ]


def _runs(store: "ProjectStore", *, files_changed: bool) -> list[dict[str, Any]]:
    found = []
    scan = scan_runs(store.runs_path)
    outdated = find_outdated(
        scan.runs,
        store.last_changes(),
        revision=store.revision,
        files_changed=files_changed,
    )
    for folder, request in read_requests(scan.runs):
        now = folder.status()
        found.append(
            {
                "run": folder.name,
                "stage": request.stage,
                "state": str(folder.state()),
                "step": now.step,
                "total": now.total,
                "outdated": folder in outdated,
            }
        )
    return found


def _damaged_runs(store: "ProjectStore") -> list[dict[str, str]]:
    return [
        {"run": run.path.name, "state": str(RunState.DAMAGED), "reason": run.reason}
        for run in scan_runs(store.runs_path).damaged
    ]


def _table(console: Console, title: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        console.say(f"{title}: none yet.")
        return
    console.table(title, list(rows[0]), [list(row.values()) for row in rows])
