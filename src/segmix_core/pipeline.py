"""The stages in order: from labels to classifier, maps, masks, segmenter and TIFF.

::

    train            labeled tiles           -> CAM classifier
    cams             classifier, all tiles    -> class activation maps
    pseudo-masks     maps and labels          -> masks to correct
    train-segmenter  masks and corrections    -> segmenter
    predict          segmenter, whole images  -> masks and label TIFFs
    export           masks and corrections    -> label TIFFs

Each stage reads the project and the run before it, and writes only into its own run
folder and the project's exports. The runs a stage can read are listed in
:data:`segmix_core.stage_registry.STAGES`.
"""

from importlib import import_module
from typing import Any

from segmix_core.errors import JobError
from segmix_core.events import Warned
from segmix_core.project.changed_files import changed_note, find_changed
from segmix_core.project.store import ProjectStore
from segmix_core.runs.outdated import has_changed
from segmix_core.runs.request import RunRequest
from segmix_core.runs.writer import RunWriter
from segmix_core.settings import RunSettings
from segmix_core.stage_registry import STAGES
from segmix_core.stages.job import Job, Stopped


def run_stage(request: RunRequest, writer: RunWriter) -> dict[str, Any]:
    """Run a stage and return its results as JSON values.

    Returns early, with ``writer.stopped`` set, when the run is asked to stop.

    Raises
    ------
    SegmixError
        For everything a user can act on.
    """
    if request.stage not in STAGES:
        raise JobError(
            f"{request.stage!r} is not a valid stage.",
            f"Choose one of {', '.join(STAGES)}.",
        )
    module, _, name = STAGES[request.stage].function.partition(":")
    stage = getattr(import_module(f"segmix_core.stages.{module}"), name)
    config = RunSettings.parse(request.config)
    with ProjectStore.open(request.project) as store:
        _warn_of_changes(store, request, config, writer)
        _warn_of_files(store, writer)
        try:
            results: dict[str, Any] = stage(Job(store, config, request, writer))
        except Stopped:
            return {}
    return results


def _warn_of_files(store: ProjectStore, writer: RunWriter) -> None:
    """Warn about images whose files have changed since they were labeled."""
    changed = find_changed(store.images())
    if changed:
        writer.emit(Warned(message=changed_note(changed)))


def _warn_of_changes(
    store: ProjectStore, request: RunRequest, config: RunSettings, writer: RunWriter
) -> None:
    """Warn if labels have changed since the training that is resumed began."""
    goes_on = writer.folder.status().checkpoint_step > 0
    # The second network of SegMix+ also learns from corrections.
    strokes = request.stage == "train" and config.train.learns_from_masks
    if goes_on and has_changed(
        request, store.last_changes(), strokes=strokes, revision=store.revision
    ):
        writer.emit(
            Warned(
                message="Labels or masks have changed since this training began. It "
                "continues with the current ones."
            )
        )
