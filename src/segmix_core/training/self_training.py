"""Self-training: a fresh network learns from the masks that the last one makes.

Our own part of SegMix+. Maps of the first network, cut down to the classes that a tile
is labeled with, are masks with errors; a network that begins anew learns what most of
them agree on before it learns their errors (noisy students, Xie et al., arXiv
1911.04252). All networks together take the epochs that the settings give to one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from lightning_fabric import Fabric

from segmix_core.data.batch import Batch
from segmix_core.data.batches import BatchPlan, TileBatches
from segmix_core.data.samples import SampleSource
from segmix_core.events import (
    CheckpointWritten,
    CurriculumDecided,
    Event,
    Metrics,
    Progress,
    StageStarted,
)
from segmix_core.methods import Method
from segmix_core.models.cam_classifier import CamClassifier, load_classifier
from segmix_core.models.checkpoint import (
    copy_checkpoint,
    has_checkpoint,
    load_checkpoint,
)
from segmix_core.training.classifier import ClassifierSpec, fit_classifier
from segmix_core.training.fit_settings import FitResult
from segmix_core.training.method_parts import parts_of
from segmix_core.training.resume import BEST
from segmix_core.training.start import LAST
from segmix_core.training.supervised_task import SupervisedTask
from segmix_core.training.task import Listener, Loader
from segmix_core.training.validation import Validate

Teach = Callable[[CamClassifier, Listener], SampleSource | None]
"""Network, listener -> the tiles with masks that it makes of them; None: asked to stop.

The labels of those tiles are 1 where the mask tells of a class, present or not. What a
person has corrected tells of all classes.
"""


@dataclass(frozen=True, slots=True)
class LaterRounds:
    """How the networks learn that come after the first.

    Attributes
    ----------
    teach
        Makes the masks for the next network.
    plan
        How tiles with masks become batches, as many in an epoch as the first had.
    shared_foreground
        Their classes share one foreground.
    """

    teach: Teach
    plan: BatchPlan
    shared_foreground: bool


def fit_rounds(
    loader: Loader,
    spec: ClassifierSpec,
    method: Method,
    later: LaterRounds,
    *,
    fabric: Fabric,
    listener: Listener,
    preview: Batch | None = None,
    validate: Validate | None = None,
) -> tuple[FitResult, CamClassifier]:
    """Train by a method, with as many rounds of self-training as it has.

    The first network has its checkpoints in the folder of ``spec``, the others below
    it. When all are done the last network's is there: whoever stops the training
    before uses the first network, and not one that has hardly begun.

    Parameters
    ----------
    loader, spec, method, fabric, listener, preview, validate
        As for :func:`segmix_core.training.classifier.fit_classifier`; the first and
        the last are for the network that learns from labels.
    later
        How the networks after the first learn.

    Raises
    ------
    ConfigError
        If the method contradicts the tiles.
    """
    rounds = parts_of(method).rounds
    if rounds == 0:
        return fit_classifier(
            loader,
            spec,
            method,
            fabric=fabric,
            listener=listener,
            preview=preview,
            validate=validate,
        )
    steps = loader.steps_per_epoch
    total = method.epochs * steps
    last = spec.checkpoints / LAST
    if has_checkpoint(last) and load_checkpoint(last).step == total:
        return FitResult("completed", total, total), _load(last, fabric)
    first_epoch = 0
    for number, epochs in enumerate(share_epochs(method.epochs, rounds)):
        place = f"{spec.checkpoints.name}/" if number else ""
        part = _Part(listener, first_epoch, steps, total, place)
        own = method.model_copy(update={"epochs": epochs, "rounds": 0})
        if number == 0:
            result, model = fit_classifier(
                loader,
                spec,
                own,
                fabric=fabric,
                listener=part,
                preview=preview,
                validate=validate,
            )
        else:
            taught = later.teach(_chosen(spec, number - 1, fabric) or model, part)
            if taught is None:
                return FitResult("canceled", first_epoch * steps, total), model
            result, model = fit_classifier(
                TileBatches(taught, later.plan, part.emit),
                _below(spec, number, later.shared_foreground),
                own,
                fabric=fabric,
                listener=part,
                make_task=partial(SupervisedTask, preview_tiles=preview),
            )
        done = first_epoch * steps + result.step
        if result.reason != "completed":
            return replace(result, step=done, total_steps=total), model
        first_epoch += epochs
    if fabric.is_global_zero:
        _keep(_folder(spec, rounds) / LAST, spec, total)
    return replace(result, step=total, total_steps=total), model


def share_epochs(epochs: int, rounds: int) -> tuple[int, ...]:
    """Return the epochs of each network: the first has twice those of a later one.

    Masks tell every pixel, labels a tile. What is left over is the first one's, too.

    Examples
    --------
    >>> share_epochs(24, 1), share_epochs(10, 2)
    ((16, 8), (6, 2, 2))
    """
    each = max(1, epochs // (rounds + 2))
    return (epochs - rounds * each, *(each for _ in range(rounds)))


def _chosen(spec: ClassifierSpec, number: int, fabric: Fabric) -> CamClassifier | None:
    """Return network ``number`` as of its best epoch, if the run keeps that."""
    best = spec.checkpoints / BEST
    if number > 0 or not has_checkpoint(best):
        return None
    return _load(best, fabric)


def _load(folder: Path, fabric: Fabric) -> CamClassifier:
    return load_classifier(load_checkpoint(folder)).to(fabric.device)


def _keep(source: Path, spec: ClassifierSpec, step: int) -> None:
    """Let the stages after this one use the last network."""
    for name in (BEST, LAST):
        target = spec.checkpoints / name
        if has_checkpoint(target):
            copy_checkpoint(source, target, step)


def _below(spec: ClassifierSpec, number: int, shared: bool) -> ClassifierSpec:
    return replace(
        spec,
        checkpoints=_folder(spec, number),
        learns_masks=True,
        shared_foreground=shared,
    )


def _folder(spec: ClassifierSpec, number: int) -> Path:
    return spec.checkpoints / f"round-{number}"


@dataclass(frozen=True, slots=True)
class _Part:
    """Tells a listener of one network's training as a part of the whole.

    ``place`` stands before the paths of its checkpoints.
    """

    listener: Listener
    first_epoch: int
    steps_per_epoch: int
    total_steps: int
    place: str

    def emit(self, event: Event) -> None:
        match event:
            case StageStarted():
                self._announce(event)
            case Progress():
                self.listener.emit(self._within(event))
            case Metrics():
                self.listener.emit(
                    replace(
                        event,
                        step=self._first_step + event.step,
                        epoch=self.first_epoch + event.epoch,
                    )
                )
            case CheckpointWritten():
                path = f"{self.place}{event.path}"
                step = self._first_step + event.step
                self.listener.emit(replace(event, step=step, path=path))
            case CurriculumDecided():
                self.listener.emit(replace(event, step=self._first_step + event.step))
            case _:
                self.listener.emit(event)

    def should_stop(self) -> bool:
        return self.listener.should_stop()

    def save_preview(
        self, step: int, content: str, **arrays: npt.NDArray[np.generic]
    ) -> None:
        self.listener.save_preview(self._first_step + step, content, **arrays)

    @property
    def _first_step(self) -> int:
        return self.first_epoch * self.steps_per_epoch

    def _announce(self, event: StageStarted) -> None:
        # One stage, one start; a later network is only told of where it goes on.
        if self._first_step == 0 or event.resumed_at > 0:
            self.listener.emit(
                replace(
                    event,
                    total_steps=self.total_steps,
                    resumed_at=self._first_step + event.resumed_at,
                )
            )

    def _within(self, event: Progress) -> Progress:
        step, left = self._first_step + event.step, event.seconds_left
        if left is not None and event.step < event.total:
            left *= (self.total_steps - step) / (event.total - event.step)
        return replace(event, step=step, total=self.total_steps, seconds_left=left)
