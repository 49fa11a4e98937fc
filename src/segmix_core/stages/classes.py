"""Check that the results of an earlier run match the current classes."""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from segmix_core.errors import JobError, SegmixError
from segmix_core.project.store import ProjectStore
from segmix_core.runs.results import load_tiles


def check_classes(
    store: ProjectStore,
    found: Sequence[str],
    *,
    of: str,
    hint: str,
    error: type[SegmixError],
    fewer: bool = False,
) -> None:
    """Check that ``found`` are the project's classes, under current or earlier names.

    Parameters
    ----------
    store
        The project. A renamed class is the same class.
    found
        Names of the classes 1..C in the earlier run.
    of, hint, error
        The kind of result, the hint, and the error to raise.
    fewer
        Accept classes that were added since.

    Raises
    ------
    SegmixError
        ``error``, if classes differ; names them.
    """
    known = store.class_names_so_far()
    wanted = [entry.name for entry in store.classes()]
    pairs = zip_longest(found, known, wanted)
    differing = [
        _difference(name, now)
        for name, names, now in pairs
        if not (name in (names or ()) or (fewer and name is None))
    ]
    if differing:
        raise error(
            f"The classes of the {of} have changed: {', '.join(differing)}.",
            f"{hint[:1].upper()}{hint[1:]}",
        )


def _difference(name: str | None, now: str | None) -> str:
    if name is None:
        return f"{now} is new"
    return f"{name} was removed" if now is None else f"{name} is now {now}"


def check_mask_classes(store: ProjectStore, run: Path) -> None:
    """Check that the masks of a run match the classes of the project.

    Raises
    ------
    JobError
        If they do not, or the run does not name its classes.
    """
    columns = load_tiles(run)
    if "class_names" not in columns:
        raise JobError(
            f"The masks of the run {run.name} do not say which classes they have.",
            "Make them again.",
        )
    check_classes(
        store,
        columns["class_names"].tolist(),
        of="masks",
        hint="make them again.",
        error=JobError,
        fewer=True,
    )
