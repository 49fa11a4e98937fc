"""The loop that trains any task.

It handles batches, steps and checkpoints; the task and the loader define what is
learned from which images. The order of tiles depends on (seed, epoch), and everything
random in a step on (seed, step), so a stopped or killed run resumes from its last
checkpoint with exactly the same result.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from segmix_core.data.batch import Batch
from segmix_core.events import CheckpointWritten, EndReason, Warned
from segmix_core.models.memory import is_out_of_memory
from segmix_core.training.batch_norm import share_batch_norm
from segmix_core.training.device import make_equal
from segmix_core.training.fit_settings import FitResult, FitSettings
from segmix_core.training.optim import (
    AveragedWeights,
    make_optimizer,
    one_cycle,
    set_learning_rate,
)
from segmix_core.training.reporter import FIRST_MAPS_STEP, Reporter
from segmix_core.training.resume import (
    BEST,
    CheckpointPlan,
    TrainState,
    load_train_state,
    save_train_state,
)
from segmix_core.training.stepper import Stepper
from segmix_core.training.task import Listener, Loader, Task
from segmix_core.training.validation import Validate

_CHECKPOINT_SHARE = 0.1  # of the time, at the ends of short epochs


def fit(
    task: Task,
    loader: Loader,
    settings: FitSettings,
    *,
    fabric: Fabric,
    listener: Listener,
    checkpoints: CheckpointPlan,
    validate: Validate | None = None,
    resume_from: Path | None = None,
) -> FitResult:
    """Train the module of ``task`` until it is done or asked to stop.

    Afterwards the module has the weights for prediction, as in ``last``.

    Parameters
    ----------
    task, loader, settings
        The task, its batches, and the settings.
    fabric
        From :func:`segmix_core.training.device.make_fabric`.
    listener
        Is told of progress, and asked after every step whether to stop.
    checkpoints
        ``last`` is written every ``checkpoint_seconds``, at ends of epochs and when
        the training stops; ``best`` where the settings want it.
    validate
        Measures scores after each epoch; without it there is no ``best``.
    resume_from
        Checkpoint to go on from.

    Raises
    ------
    JobError
        If the loss stops being finite, memory does not suffice, or tiles cannot be
        read. The last checkpoint is kept.
    CheckpointError
        If ``resume_from`` is no checkpoint of this run.
    """
    fitting = _Fitting(task, loader, settings, fabric, checkpoints)
    if resume_from is not None:
        fitting.resume(resume_from)
    return fitting.run(listener, validate)


class _Fitting:
    """One call of :func:`fit`."""

    def __init__(
        self,
        task: Task,
        loader: Loader,
        settings: FitSettings,
        fabric: Fabric,
        checkpoints: CheckpointPlan,
    ) -> None:
        self.loader, self.settings = loader, settings
        self.fabric, self.checkpoints = fabric, checkpoints
        self.total_steps = settings.epochs * loader.steps_per_epoch
        task.module.to(fabric.device)
        # Convolutions run fastest with channels innermost, on CPU and GPU alike.
        task.module.to(memory_format=torch.channels_last)
        make_equal(task.module, fabric)
        if fabric.world_size > 1:
            share_batch_norm(task.module)
        optimizer = make_optimizer(
            task.module,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        averaged = AveragedWeights(task.module) if settings.average else None
        self.state = TrainState(task, optimizer, averaged)

    @property
    def terms(self) -> dict[str, Any]:
        """Values that must not change when a run is resumed."""
        settings = self.settings
        return {
            **self.checkpoints.settings,
            "seed": settings.seed,
            "epochs": settings.epochs,
            "steps_per_epoch": self.loader.steps_per_epoch,
            "learning_rate": settings.learning_rate,
            "weight_decay": settings.weight_decay,
            "averaged_weights": settings.average,
            "processes": self.fabric.world_size,
        }

    def resume(self, folder: Path) -> None:
        load_train_state(self.state, folder, self.checkpoints, self.terms)

    def run(self, listener: Listener, validate: Validate | None) -> FitResult:
        state, per_epoch = self.state, self.loader.steps_per_epoch
        self.listener = listener
        self.reporter = Reporter(
            listener,
            state.step,
            self.total_steps,
            preview_seconds=self.settings.preview_seconds,
        )
        self.stepper = Stepper(
            state.task,
            state.optimizer,
            self.fabric,
            seed=self.settings.seed,
            clip_norm=self.settings.clip_norm,
            emit=listener.emit,
            pieces=state.pieces,
            first_loss=state.first_loss,
        )
        self.saved_at, self.save_seconds = time.monotonic(), 0.0
        if state.unmeasured is not None and validate is not None:
            self._measure(state.unmeasured, validate)
        while state.step < self.total_steps:
            epoch, first = divmod(state.step, per_epoch)
            state.task.module.train()
            stopped = self._run_epoch(epoch, first)
            if not stopped:
                self._end_epoch(epoch, validate)
                stopped = state.step < self.total_steps and self._asked_to_stop()
            if stopped:
                self._save()
                return self._result("canceled")
        return self._result("completed")

    def _run_epoch(self, epoch: int, first: int) -> bool:
        """Run the rest of an epoch; return True if asked to stop before its end."""
        with closing(self.loader.batches(epoch, first)) as batches:
            for batch in batches:
                self._step(batch, epoch)
                if self.state.step % self.loader.steps_per_epoch == 0:
                    break
                if self._asked_to_stop():
                    return True
                waited = time.monotonic() - self.saved_at
                if waited >= self.settings.checkpoint_seconds:
                    self._save()
        return False

    def _asked_to_stop(self) -> bool:
        # All processes have to agree, or they would wait for each other.
        return bool(self.fabric.broadcast(self.listener.should_stop()))

    def _step(self, batch: Batch, epoch: int) -> None:
        state, step = self.state, self.state.step
        rate = self.settings.learning_rate * one_cycle(step, self.total_steps)
        set_learning_rate(state.optimizer, rate)
        if self.fabric.device.type == "cuda":
            batch = batch.pinned()
        context = self.stepper.context(
            step, self.total_steps, epoch, self.reporter.wants_preview(step)
        )
        outcome = self.stepper.step(batch.to(self.fabric.device), context)
        if state.averaged is not None:
            state.averaged.update(state.task.module, step, self.total_steps)
        state.step, state.pieces = step + 1, self.stepper.pieces
        state.first_loss = self.stepper.first_loss
        self.reporter.stepped(step, epoch, outcome, rate)
        if step == FIRST_MAPS_STEP:
            self._show(epoch, step)

    def _end_epoch(self, epoch: int, validate: Validate | None) -> None:
        state = self.state
        self._show(epoch, state.step)
        self._measure(epoch, validate)
        waited = time.monotonic() - self.saved_at
        last = state.step == self.total_steps
        if last or waited * _CHECKPOINT_SHARE >= self.save_seconds:
            self._save()

    def _show(self, epoch: int, step: int) -> None:
        try:
            with self._predicting():
                previews = self.state.task.epoch_end(epoch, step)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            message = f"Memory ran out: there is no preview of step {step}."
            self.listener.emit(Warned(message=message))
            return
        self.reporter.save_previews(step, previews)

    def _measure(self, epoch: int, validate: Validate | None) -> None:
        state = self.state
        scores: Mapping[str, float] = {}
        if validate is not None:
            with self._predicting() as module:
                scores = validate(module)
            # No scores: asked to stop meanwhile. It is measured when the run goes on.
            state.unmeasured = None if scores else epoch
        self.reporter.epoch_ended(state.step, epoch, scores)
        self._keep_best(scores)

    @contextmanager
    def _predicting(self) -> Iterator[nn.Module]:
        """Lend the module in prediction mode, then restore training mode."""
        module, averaged = self.state.task.module, self.state.averaged
        module.eval()
        try:
            with averaged.applied(module) if averaged else nullcontext():
                yield module
        finally:
            module.train()

    def _keep_best(self, scores: Mapping[str, float]) -> None:
        state = self.state
        score = scores.get("score", -scores.get("loss", math.nan))
        best = state.best_score
        if math.isnan(score) or (best is not None and score <= best):
            return
        state.best_score, state.scores = score, dict(scores)
        if self.settings.keep_best and self.fabric.is_global_zero:
            extra = {"scores": dict(scores)}
            self.checkpoints.save(BEST, state.predicting, state.step, extra)

    def _save(self) -> None:
        begun = time.monotonic()
        if self.fabric.is_global_zero:
            save_train_state(self.state, self.checkpoints, self.terms)
            path = f"{self.checkpoints.folder.name}/last"
            event = CheckpointWritten(step=self.state.step, path=path)
            self.listener.emit(event)
        self.saved_at = time.monotonic()
        self.save_seconds = self.saved_at - begun

    def _result(self, reason: EndReason) -> FitResult:
        state = self.state
        state.task.module.load_state_dict(state.predicting)
        # A process that leaves early would cut off what others still receive.
        self.fabric.barrier()
        return FitResult(reason, state.step, self.total_steps, state.scores)
