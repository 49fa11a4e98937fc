"""Self-training: a fresh network learns from the masks that the last one makes.

Our own part of SegMix+. Maps of the first network, cut down to the classes that a tile
is labelled with, are masks with errors; a network that begins anew learns what most of
them agree on before it learns their errors (noisy students, Xie et al., arXiv
1911.04252). All networks together take the epochs that the settings give to one.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segmix_core.data.batch import Batch
from segmix_core.data.samples import SampleSource
from segmix_core.events import (
    CheckpointWritten,
    CurriculumDecided,
    Event,
    Metrics,
    Progress,
    StageStarted,
)
from segmix_core.models.cam_classifier import CamClassifier, load_classifier
from segmix_core.models.checkpoint import (
    copy_checkpoint,
    has_checkpoint,
    load_checkpoint,
)
from segmix_core.runs.processes import is_first_process
from segmix_core.settings import RunSettings
from segmix_core.stages.methods import parts_of, shares_foreground
from segmix_core.stages.train import Preparation, fit_classifier
from segmix_core.stages.weights import LAST
from segmix_core.training.fit_settings import FitResult
from segmix_core.training.resume import BEST
from segmix_core.training.supervised_task import SupervisedTask
from segmix_core.training.task import Listener
from segmix_core.training.validation import Validate

Teach = Callable[[CamClassifier, Listener], SampleSource | None]
"""Network, listener -> the tiles with masks that it makes of them; None: asked to stop.

The labels of those tiles are 1 where the mask tells of a class, present or not. What a
person has corrected tells of all classes.
"""


def fit_rounds(
    samples: SampleSource,
    preparation: Preparation,
    config: RunSettings,
    listener: Listener,
    teach: Teach,
    *,
    preview: Batch | None = None,
    validate: Validate | None = None,
) -> tuple[FitResult, CamClassifier]:
    """Train as the method says, with as many rounds of self-training as it has.

    The first network has its checkpoints in the folder of ``preparation``, the others
    below it. When all are done the last network's is there: whoever stops the run
    before uses the first network, and not one that has hardly begun.

    Parameters
    ----------
    samples, preparation, config, listener, preview, validate
        As for :func:`segmix_core.stages.train.fit_classifier`; the last is for the
        network that learns from labels.
    teach
        Makes the masks for the next network.

    Raises
    ------
    ConfigError
        If settings contradict the tiles or the machine.
    """
    rounds = parts_of(config.train).rounds
    if rounds == 0:
        return fit_classifier(
            samples, preparation, config, listener, preview=preview, validate=validate
        )
    steps = -(-len(samples.ids) // config.train.batch_size)
    total = config.train.epochs * steps
    last = preparation.checkpoints / LAST
    if has_checkpoint(last) and load_checkpoint(last).step == total:
        model = load_classifier(load_checkpoint(last))
        return FitResult("completed", total, total), model
    first_epoch = 0
    for number, epochs in enumerate(share_epochs(config.train.epochs, rounds)):
        place = f"{preparation.checkpoints.name}/" if number else ""
        part = _Part(listener, first_epoch, steps, total, place)
        own = config.replace({"train.epochs": epochs, "train.rounds": 0})
        if number == 0:
            result, model = fit_classifier(
                samples, preparation, own, part, preview=preview, validate=validate
            )
        else:
            teacher = _chosen(preparation, number - 1) or model
            taught = teach(teacher.to(next(model.parameters()).device), part)
            if taught is None:
                step = first_epoch * steps
                return FitResult("cancelled", step, total), model
            result, model = fit_classifier(
                taught,
                _below(preparation, number, shares_foreground(config)),
                own,
                part,
                make_task=partial(SupervisedTask, preview_tiles=preview),
            )
        done = first_epoch * steps + result.step
        if result.reason != "completed":
            return replace(result, step=done, total_steps=total), model
        first_epoch += epochs
    if is_first_process(os.environ):
        _keep(_folder(preparation, rounds) / LAST, preparation, total)
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


def _chosen(preparation: Preparation, number: int) -> CamClassifier | None:
    """Return network ``number`` as of its best epoch, if the run keeps that."""
    best = preparation.checkpoints / BEST
    if number > 0 or not has_checkpoint(best):
        return None
    return load_classifier(load_checkpoint(best))


def _keep(source: Path, preparation: Preparation, step: int) -> None:
    """Let the stages after this one use the last network."""
    for name in (BEST, LAST):
        target = preparation.checkpoints / name
        if has_checkpoint(target):
            copy_checkpoint(source, target, step)


def _below(preparation: Preparation, number: int, shared: bool) -> Preparation:
    return replace(
        preparation,
        checkpoints=_folder(preparation, number),
        learns_masks=True,
        shared_foreground=shared,
    )


def _folder(preparation: Preparation, number: int) -> Path:
    return preparation.checkpoints / f"round-{number}"


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
