"""A small training for the tests of the loop: the brightness of noisy images."""

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from segmix_core.data.batch import Batch
from segmix_core.events import (
    CurriculumDecided,
    Event,
)
from segmix_core.models.checkpoint import load_checkpoint
from segmix_core.training.device import make_fabric
from segmix_core.training.fit_settings import FitResult, FitSettings
from segmix_core.training.resume import CheckpointPlan
from segmix_core.training.task import Loader, PreviewArrays, StepContext, StepResult
from segmix_core.training.trainer import fit
from segmix_core.training.validation import Validate


class Net(nn.Module):
    """Small, with everything that has a state: statistics and random drops."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.Dropout2d(0.3),
            nn.Conv2d(4, 1, 1),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images).mean((1, 2, 3))


class BrightnessTask:
    """Learn the brightness of images that get noise; remembers a mean loss."""

    def __init__(self, min_batch: int = 1, most_tiles: int = 1000) -> None:
        torch.manual_seed(0)
        self.module = Net()
        self.min_batch, self.most_tiles = min_batch, most_tiles
        self.mean_loss = 0.0
        self.poisoned: int | None = None
        self.sizes: list[int] = []
        self.steps: list[int] = []
        self.wanted: list[int] = []

    def training_step(self, batch: Batch, context: StepContext) -> StepResult:
        self.mean_loss *= 0.9
        if len(batch) > self.most_tiles:
            raise torch.OutOfMemoryError("out of memory")
        self.sizes.append(len(batch))
        self.steps.append(context.step)
        noise = torch.rand(batch.images.shape, generator=context.generator)
        target = batch.images.mean((1, 2, 3))
        loss = (self.module(batch.images + noise) - target).square().mean()
        if context.step == self.poisoned:
            loss = loss * torch.nan
        self.mean_loss += 0.1 * float(loss.detach())
        previews: dict[str, PreviewArrays] = {}
        if context.wants_preview:
            self.wanted.append(context.step)
            previews["shuffled"] = {"tile_ids": batch.tile_ids.numpy()}
        event = CurriculumDecided(
            step=context.step,
            patch_size=8,
            shuffle_ratio=0.5,
            feedback=None,
            threshold=None,
            reason="test",
        )
        return StepResult(
            loss, {"square": loss.detach(), "one": 1.0}, (event,), previews
        )

    def amount(self, batch: Batch) -> float:
        return float(len(batch))

    def epoch_end(self, epoch: int, step: int) -> Mapping[str, PreviewArrays]:
        assert not self.module.training
        return {"cam": {"cams": np.full((1, 1, 2, 2), epoch, np.uint8)}}

    def state(self) -> dict[str, Any]:
        return {"mean_loss": self.mean_loss}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.mean_loss = state["mean_loss"]


class Images:
    """Five batches of four images an epoch, all different."""

    steps_per_epoch = 5

    def batches(self, epoch: int, first: int = 0) -> Generator[Batch, None, None]:
        for number in range(first, self.steps_per_epoch):
            generator = torch.Generator().manual_seed(100 * epoch + number)
            yield Batch(
                images=torch.rand(4, 3, 8, 8, generator=generator),
                labels=torch.zeros(4, 1),
                tile_ids=torch.arange(4) + 10 * number,
                valid=torch.full((4, 2), 8),
            )


class Recorder:
    def __init__(self, stop_after: int | None = None) -> None:
        self.events: list[Event] = []
        self.previews: list[tuple[int, str]] = []
        self.asked = 0
        self.stop_after = stop_after

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def should_stop(self) -> bool:
        self.asked += 1
        return self.stop_after is not None and self.asked >= self.stop_after

    def save_preview(self, step: int, content: str, **arrays: object) -> None:
        assert arrays
        self.previews.append((step, content))

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def plan(folder: Path, **settings: Any) -> CheckpointPlan:
    return CheckpointPlan(
        folder / "checkpoints", "classifier", {}, ("a",), settings=settings
    )


def train(
    folder: Path,
    task: BrightnessTask,
    listener: Recorder | None = None,
    *,
    resume: bool = False,
    validate: Validate | None = None,
    loader: Loader | None = None,
    loss: str = "plain",
    **changes: Any,
) -> FitResult:
    settings = FitSettings(**{"epochs": 3, "learning_rate": 0.01, **changes})
    return fit(
        task,
        loader or Images(),
        settings,
        fabric=make_fabric(torch.device("cpu")),
        listener=listener or Recorder(),
        checkpoints=plan(folder, loss=loss),
        validate=validate,
        resume_from=folder / "checkpoints" / "last" if resume else None,
    )


def final(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    checkpoint = load_checkpoint(folder / "checkpoints" / "last", with_training=True)
    return {**checkpoint.weights, **checkpoint.training}, checkpoint.extra["task"]


def assert_same_end(one: Path, other: Path) -> None:
    (ours, our_task), (theirs, their_task) = final(one), final(other)
    assert our_task == their_task
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name
