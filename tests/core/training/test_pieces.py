"""A step whose batch is cut into pieces is the step of the whole batch."""

from dataclasses import replace

import pytest
import torch

from segmix_core.data.batch import Batch
from segmix_core.training.classifier_task import ClassifierTask
from segmix_core.training.device import make_fabric
from segmix_core.training.segmenter_task import SegmenterTask
from segmix_core.training.stepper import Stepper
from segmix_core.training.task import Task
from tests.core.training.textures import make_batch, make_task


def _frozen_classifier() -> ClassifierTask:
    """A task whose step does not depend on how its batch is cut: without statistics."""
    task = make_task(augment=False)
    task.module.eval()
    return task


@pytest.mark.parametrize("pieces", [2, 3])
def test_pieces_weigh_by_what_is_known(pieces: int) -> None:
    batch = make_batch(6)
    batch.labels[3:] = -1
    batch.labels[5, 0] = 1
    whole, cut = (
        step_gradient(_frozen_classifier(), batch, pieces=count)
        for count in (1, pieces)
    )
    for one, other in zip(whole, cut, strict=True):
        torch.testing.assert_close(one, other)


def test_pieces_without_anything_known_do_nothing() -> None:
    batch = make_batch(4)
    batch.labels[:] = -1
    for gradient in step_gradient(_frozen_classifier(), batch, pieces=2):
        assert not gradient.any()


def test_pieces_of_masks_weigh_by_their_pixels() -> None:
    batch = make_batch(4)
    masks = torch.randint(1, 3, (4, 32, 32), generator=torch.Generator().manual_seed(0))
    masks[2:, 4:] = 255
    weights = (masks != 255).float()
    weights[3] *= 4
    batch = replace(batch, masks=masks.to(torch.uint8), weights=weights)
    for classes in (None, [1.0, 3.0]):
        whole, cut = (
            step_gradient(_segmenter_task(classes), batch, pieces=count)
            for count in (1, 2)
        )
        for one, other in zip(whole, cut, strict=True):
            torch.testing.assert_close(one, other)


def _segmenter_task(class_weights: list[float] | None) -> SegmenterTask:
    torch.manual_seed(0)
    module = PixelNet()
    return SegmenterTask(module, dice_weight=0, class_weights=class_weights)  # type: ignore[arg-type]


class PixelNet(torch.nn.Module):
    """Two classes of every pixel, by its color alone."""

    class_indices = (1, 2)

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 2, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images)


def step_gradient(task: Task, batch: Batch, *, pieces: int) -> list[torch.Tensor]:
    """Return the gradients of a step whose batch is cut into pieces."""
    stepper = Stepper(
        task,
        torch.optim.SGD(task.module.parameters(), lr=0.0),
        make_fabric(torch.device("cpu")),
        seed=0,
        clip_norm=1e6,
        emit=lambda event: None,
        pieces=pieces,
    )
    stepper.step(batch, stepper.context(0, 10, 0, wants_preview=False))
    return [p.grad for p in task.module.parameters() if p.grad is not None]
