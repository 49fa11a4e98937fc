"""Tiles of two textures, and a small task that learns to tell them."""

import numpy as np
import torch

from segmix_core.curriculum.feedback import make_controller
from segmix_core.data.batch import Batch
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.training.classifier_task import ClassifierTask
from segmix_core.training.task import StepContext

TOTAL = 40


def make_batch(count=6, size=32, seed=0, width=None):
    """Tiles of bright and of striped texture; both in tiles that are bright above."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0.4, 0.02, (count, 3, size, width or size)).astype(np.float32)
    labels = rng.integers(0, 2, (count, 2))
    labels[labels.sum(1) == 0, 0] = 1
    for image, (bright, striped) in zip(images, labels, strict=True):
        edge = size // 2 if bright and striped else size * bright
        image[:, :edge] += 0.3
        image[:, edge:, ::2] -= 0.3
    return Batch(
        images=torch.from_numpy(images).clamp(0, 1),
        labels=torch.from_numpy(labels).float(),
        tile_ids=torch.arange(100, 100 + count),
        valid=torch.full((count, 2), size),
    )


def make_task(*, strategy=None, **changes):
    torch.manual_seed(0)
    module = CamClassifier(num_classes=2, width=8)
    controller = strategy and make_controller(
        strategy, (16, 8), tile_px=32, total_steps=TOTAL, steps_per_epoch=10
    )
    return ClassifierTask(module, controller=controller, **changes)


def context(step, *, wants_preview=False):
    generator = torch.Generator().manual_seed(step)
    return StepContext(step, TOTAL, step // 10, generator, wants_preview)
