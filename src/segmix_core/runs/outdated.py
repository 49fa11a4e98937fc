"""Find outdated runs: their inputs have changed since they started."""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from segmix_core.errors import ConfigError
from segmix_core.runs.folder import RunFolder, read_requests
from segmix_core.runs.request import RunRequest
from segmix_core.settings import RunSettings
from segmix_core.stage_registry import STAGES

_NEWEST = sys.maxsize


def has_changed(
    request: RunRequest,
    last_changes: Mapping[str, int],
    *,
    strokes: bool = False,
    revision: int = _NEWEST,
) -> bool:
    """Whether labels, images, or corrections for a segmenter, changed after a request.

    Parameters
    ----------
    request
        Of the run; the runs it reads are not checked.
    last_changes
        Kind of change -> revision of the last one; see
        :meth:`segmix_core.project.reader.ProjectReader.last_changes`.
    strokes
        Whether corrections count for every stage.
    revision
        Current revision of the project. A run of a later one is outdated, too: an older
        copy of the project was restored.
    """
    stage = STAGES.get(request.stage)
    kinds = stage.outdated_by if stage else frozenset()
    if stage and stage.makes_masks and _has_areas(request):
        kinds |= {"mpp"}
    if strokes:
        kinds |= {"mask"}
    if kinds and request.revision > revision:
        return True
    return any(last_changes.get(kind, 0) > request.revision for kind in kinds)


def find_outdated(
    runs: Iterable[RunFolder],
    last_changes: Mapping[str, int],
    *,
    files_changed: bool = False,
    revision: int = _NEWEST,
) -> frozenset[RunFolder]:
    """Return the runs whose inputs have changed.

    Parameters
    ----------
    runs
        All runs of a project, in any order. A run is outdated if a run it reads is;
        deleted runs are ignored.
    last_changes
        As for :func:`has_changed`.
    files_changed
        Whether image files have changed and are not yet accepted; all runs that read
        images are outdated then.
    revision
        As for :func:`has_changed`.

    Returns
    -------
    frozenset of RunFolder
        Without unreadable ones.
    """
    return outdated_requests(
        dict(read_requests(runs)),
        last_changes,
        files_changed=files_changed,
        revision=revision,
    )


def outdated_requests(
    requests: Mapping[RunFolder, RunRequest],
    last_changes: Mapping[str, int],
    *,
    files_changed: bool = False,
    revision: int = _NEWEST,
) -> frozenset[RunFolder]:
    """Like :func:`find_outdated`, for requests that were already read.

    Reads no file; the parameters are those of :func:`find_outdated`.
    """
    if files_changed:
        last_changes = {**last_changes, "file": _NEWEST}
    places: set[Path] = set()
    # In the order of the stages: each only reads runs of earlier stages.
    for stage in STAGES:
        for run, request in requests.items():
            if request.stage == stage and (
                has_changed(request, last_changes, revision=revision)
                or not places.isdisjoint(map(_place, request.inputs.values()))
            ):
                places.add(_place(run.path))
    return frozenset(run for run in requests if _place(run.path) in places)


def _has_areas(request: RunRequest) -> bool:
    """Whether the smallest objects or holes of masks are set in µm²."""
    settings = request.config.get("pseudo_masks", {})
    if request.stage == "train" and not _learns_from_masks(request):
        return False
    regions = ("object", "hole")
    return any(settings.get(f"min_{region}_um2") is not None for region in regions)


def _learns_from_masks(request: RunRequest) -> bool:
    try:
        return RunSettings.parse(request.config).train.learns_from_masks
    except ConfigError:
        # Settings of another version: it cannot be resumed, but its maps can be read.
        return True


def _place(path: Path) -> Path:
    # Requests store the project path without "..".
    return Path(os.path.normpath(path.absolute()))
