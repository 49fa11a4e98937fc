"""A whole step of a SegMix training, against its forward and backward passes alone."""

import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.speed.comparison import Seconds, Table, milliseconds, ratio
from segmix_core.curriculum.feedback import make_controller
from segmix_core.curriculum.patch_sizes import list_patch_sizes
from segmix_core.data.batch import Batch
from segmix_core.events import Event
from segmix_core.models.backbone import keep_statistics
from segmix_core.models.cam_classifier import CamClassifier, ClassifierOutput
from segmix_core.training.classifier_task import ClassifierTask
from segmix_core.training.device import make_fabric
from segmix_core.training.fit_settings import FitSettings
from segmix_core.training.resume import CheckpointPlan
from segmix_core.training.trainer import fit
from segmix_core.training.views import rescale, second_scale

CLASSES, TURNS = 4, 25
NOT_COUNTED = 2
"""First steps, which warm caches and make a preview."""
BATCHES = ((16, 96), (8, 224))


def tables() -> list[Table]:
    """Return the table."""
    rows = []
    for count, edge in BATCHES:
        whole, passes = _measure(count, edge)
        rows.append(
            (
                f"{count} x 3 x {edge} x {edge}",
                milliseconds(whole),
                milliseconds(passes),
                ratio(whole, passes, digits=2),
            )
        )
    text = (
        "One step of `fit` with the SegMix task, from the batch to the reported loss "
        "(augmentation, second view, shuffle, feedback, losses, clipping, AdamW, "
        "averaged weights), compared with the network's forward and backward passes "
        "for the same three views, with pixel correlation for two. Small backbone, "
        "width 32, float32. Target: at most 1.10."
    )
    header = ("batch", "step, ms", "passes, ms", "step / passes")
    return [Table("Training step", text, header, rows)]


def _measure(count: int, edge: int) -> tuple[Seconds, Seconds]:
    torch.manual_seed(0)
    model = CamClassifier(num_classes=CLASSES)
    controller = make_controller(
        "fixed",
        list_patch_sizes(edge, edge, stride=model.stride),
        tile_px=edge,
        total_steps=NOT_COUNTED + TURNS,
        steps_per_epoch=NOT_COUNTED + TURNS,
    )
    task = ClassifierTask(model, controller=controller, second_view=True)
    loader = _TurnTaker(model, _batch(count, edge))
    with tempfile.TemporaryDirectory() as name:
        fit(
            task,
            loader,
            FitSettings(
                epochs=1,
                learning_rate=1e-3,
                checkpoint_seconds=1e6,
                preview_seconds=1e6,
            ),
            fabric=make_fabric(torch.device("cpu")),
            listener=_Nobody(),
            checkpoints=CheckpointPlan(
                Path(name), "classifier", model.arguments, ["a"] * CLASSES
            ),
        )
    return loader.whole, loader.passes


def _batch(count: int, edge: int) -> Batch:
    # In the layout that the loader gives: channels innermost.
    images = torch.rand(count, edge, edge, 3).permute(0, 3, 1, 2)
    labels = (torch.rand(count, CLASSES) < 0.5).float()
    return Batch(
        images=images,
        labels=labels,
        tile_ids=torch.arange(count),
        valid=torch.full((count, 2), edge),
    )


class _TurnTaker:
    """A loader that times the steps between its batches, and bare passes in turn."""

    steps_per_epoch = NOT_COUNTED + TURNS

    def __init__(self, model: CamClassifier, batch: Batch) -> None:
        self._model, self._batch = model, batch
        self.whole, self.passes = np.zeros(TURNS), np.zeros(TURNS)

    def batches(self, epoch: int, first: int = 0) -> Generator[Batch, None, None]:
        for turn in range(-NOT_COUNTED, TURNS):
            begun = time.perf_counter()
            _pass_all(self._model, self._batch)
            middle = time.perf_counter()
            try:
                yield self._batch
            finally:
                # The loop closes the generator after the last step.
                if turn >= 0:
                    self.passes[turn] = middle - begun
                    self.whole[turn] = time.perf_counter() - middle


def _pass_all(model: CamClassifier, batch: Batch) -> None:
    images = batch.images
    height, width = images.shape[-2:]
    scale = second_scale(height, width, model.stride)
    small = rescale(images, scale, model.stride)
    with keep_statistics(model):
        total = _pass(model, images) + _pass(model, small)
        total = total + model(images).logits.sum()
        total.backward()
    model.zero_grad(set_to_none=True)


def _pass(model: CamClassifier, images: Tensor) -> Tensor:
    output: ClassifierOutput = model(images)
    refined = model.refine(output.cam.detach().relu(), images, output)
    return output.cam.sum() + refined.sum()


class _Nobody:
    """Listens to nothing."""

    def emit(self, event: Event) -> None:
        pass

    def should_stop(self) -> bool:
        return False

    def save_preview(self, step: int, content: str, **arrays: Any) -> None:
        pass
