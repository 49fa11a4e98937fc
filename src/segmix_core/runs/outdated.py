"""Which runs are outdated: what they are made of has changed since they started."""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from segmix_core.runs.folder import RunFolder, read_requests
from segmix_core.runs.request import RunRequest
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
        Of the run; the runs it reads are not looked at.
    last_changes
        Kind of change -> revision of the last one, as
        :meth:`segmix_core.project.reader.ProjectReader.last_changes` returns them.
    strokes
        Corrections count whatever the stage.
    revision
        Of the project now. A run of a later one is outdated, too: an older copy of
        the project was put back.
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
    """Return the runs to make anew because what they are made of has changed.

    Parameters
    ----------
    runs
        All runs of a project, in any order. A run is outdated with one that it reads;
        of one that is not among them, for instance deleted, nothing is known.
    last_changes
        As for :func:`has_changed`.
    files_changed
        Files of images are others now than when they were added, and nobody has
        accepted them yet: whatever read the images is outdated.
    revision
        As for :func:`has_changed`.

    Returns
    -------
    frozenset of RunFolder
        Without those that cannot be read.
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
    """Return the runs that :func:`find_outdated` finds, by what they were asked to do.

    Reads no file; the parameters are those of :func:`find_outdated`.
    """
    if files_changed:
        last_changes = {**last_changes, "file": _NEWEST}
    places: set[Path] = set()
    # In the order of the stages: each reads runs of those before it only.
    for stage in STAGES:
        for run, request in requests.items():
            if request.stage == stage and (
                has_changed(request, last_changes, revision=revision)
                or not places.isdisjoint(map(_place, request.inputs.values()))
            ):
                places.add(_place(run.path))
    return frozenset(run for run in requests if _place(run.path) in places)


def _has_areas(request: RunRequest) -> bool:
    """Whether smallest objects or holes of masks are given in µm²."""
    settings = request.config.get("pseudo_masks", {})
    if request.stage == "train":
        method = request.config.get("train", {}).get("method")
        if method != "segmix-plus":
            return False
    regions = ("object", "hole")
    return any(settings.get(f"min_{region}_um2") is not None for region in regions)


def _place(path: Path) -> Path:
    # A request knows its project without "..", whichever way it was opened.
    return Path(os.path.normpath(path.absolute()))
