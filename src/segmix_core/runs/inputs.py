"""Choose the runs a stage reads: by default the newest completed ones."""

from pathlib import Path

from segmix_core.errors import JobError
from segmix_core.files import printable
from segmix_core.runs.folder import RunFolder, find_latest, list_runs
from segmix_core.stage_registry import STAGES


def find_inputs(
    runs_path: Path,
    stage: str,
    run: RunFolder | None = None,
    *,
    has_corrections: bool = False,
) -> dict[str, Path]:
    """Choose the ``inputs`` of a request for ``stage``.

    Parameters
    ----------
    runs_path
        Where the project's runs are.
    stage
        One of :data:`segmix_core.stage_registry.STAGES`.
    run
        The run to read, in any state; None: the newest completed one.
    has_corrections
        Whether the project has corrected pixels. They can be exported without a run, so
        the result may be empty then.

    Raises
    ------
    JobError
        If there is no such run, or ``stage`` cannot read the stage of ``run``.
    ValueError
        If the stage is unknown.
    """
    if stage not in STAGES:
        raise ValueError(f"{stage!r} is not one of {list(STAGES)}")
    readable = STAGES[stage].inputs
    if run is not None:
        found = run.request().stage
        if found not in readable:
            raise JobError(
                f"'{stage}' cannot read {run.name}, a run of '{found}'.",
                f"Choose a run of {_either(readable)}."
                if readable
                else "Leave it out.",
            )
        return {found: run.path}
    for name in readable:
        latest = find_latest(runs_path, name)
        if latest is not None:
            return {name: latest.path}
    if readable and not (stage == "export" and has_corrections):
        raise JobError(
            f"'{stage}' needs a completed run of {_either(readable)}, and this "
            "project has none.",
            f"Run 'segmix {readable[0]}' first, or choose a run.",
        )
    return {}


def find_run(runs_path: Path, name: str | Path) -> RunFolder:
    """Find a run by its name below ``runs_path``, or by its path.

    Raises
    ------
    JobError
        If there is none; the hint lists the newest runs.
    """
    for path in (runs_path / name, Path(name)):
        if _exists(path / "config.json"):
            return RunFolder(path.absolute())
    newest = ", ".join(printable(run.name) for run in list_runs(runs_path)[-3:])
    raise JobError(
        f"{runs_path} contains no run {printable(str(name))!r}.",
        f"The newest runs are {newest}." if newest else "There are no runs yet.",
    )


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _either(stages: tuple[str, ...]) -> str:
    return " or ".join(f"'{name}'" for name in stages) or "no stage"
