"""A segmenter fitted to tiles with masks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric

from segmix_core.data.batches import BatchPlan, TileBatches
from segmix_core.data.samples import SampleSource
from segmix_core.geometry import next_multiple
from segmix_core.models.segmenter import Segmenter
from segmix_core.project.records import BACKGROUND
from segmix_core.settings import SegmenterSettings
from segmix_core.training.fit_settings import FitResult, FitSettings
from segmix_core.training.noisy_labels import PixelLoss
from segmix_core.training.pixel_losses import inverse_root_weights
from segmix_core.training.resume import CheckpointPlan
from segmix_core.training.segmenter_task import SegmenterTask
from segmix_core.training.start import begin_training
from segmix_core.training.task import Listener
from segmix_core.training.trainer import fit

_EPOCHS, _STEPS = 8, 100
"""Of tissue from scratch: see "How the segmenter was chosen" in docs/lab/notes.md."""


@dataclass(frozen=True, slots=True)
class SegmenterSpec:
    """What a segmenter is trained for.

    Attributes
    ----------
    tile_px
        Longest edge of the tiles.
    class_names
        Of the classes 1..C.
    checkpoints
        Folder of the checkpoints; training resumes from one that is there.
    """

    tile_px: int
    class_names: tuple[str, ...]
    checkpoints: Path


def fit_segmenter(
    samples: SampleSource,
    pixels: npt.NDArray[np.int64],
    spec: SegmenterSpec,
    settings: SegmenterSettings,
    *,
    fabric: Fabric,
    listener: Listener,
) -> tuple[FitResult, Segmenter]:
    """Train a segmenter and return it with its last weights.

    Parameters
    ----------
    samples
        Tiles with masks.
    pixels
        (C + 1,): how many the masks have of background and each class. Background
        without any gets no channel; rare classes weigh more.
    spec
        Tile size, the C classes and where checkpoints go.
    settings
        Network, losses, and how long.
    fabric, listener
        As for :func:`segmix_core.training.classifier.fit_classifier`.

    Raises
    ------
    ConfigError
        If the settings name no network.
    """
    task = _make_task(settings, len(spec.class_names), pixels)
    plan = BatchPlan(
        tile_px=next_multiple(spec.tile_px, task.module.size_multiple),
        batch_size=settings.batch_size,
        seed=settings.seed,
        augment=True,
        rank=fabric.global_rank,
        processes=fabric.world_size,
    )
    loader = TileBatches(samples, plan, listener.emit)
    epochs = settings.epochs or enough_epochs(loader.steps_per_epoch)
    resume_from = begin_training(
        listener,
        "train-segmenter",
        checkpoints=spec.checkpoints,
        total_steps=epochs * loader.steps_per_epoch,
        device=fabric.device,
    )
    result = fit(
        task,
        loader,
        FitSettings(
            epochs=epochs,
            learning_rate=settings.learning_rate,
            seed=settings.seed,
            average=settings.average,
        ),
        fabric=fabric,
        listener=listener,
        checkpoints=CheckpointPlan(
            spec.checkpoints,
            "segmenter",
            task.module.arguments,
            spec.class_names,
            settings={
                **settings.model_dump(mode="json", exclude={"epochs"}),
                "tile_px": plan.tile_px,
            },
        ),
        resume_from=resume_from,
    )
    return result, task.module


def enough_epochs(steps_per_epoch: int) -> int:
    """Return as many epochs as a segmenter needs from scratch: 8, or 100 steps."""
    return max(_EPOCHS, -(-_STEPS // steps_per_epoch))


def _make_task(
    settings: SegmenterSettings, num_classes: int, pixels: npt.NDArray[np.int64]
) -> SegmenterTask:
    torch.manual_seed(settings.seed)
    segmenter = Segmenter(
        num_classes=num_classes,
        has_background=bool(pixels[BACKGROUND]),
        decoder=settings.decoder,
        encoder=settings.encoder,
        depth=settings.depth,
        pretrained=settings.pretrained,
    )
    weights = inverse_root_weights(pixels[list(segmenter.class_indices)])
    return SegmenterTask(
        segmenter,
        pixel_loss=PixelLoss(settings.loss, settings.label_smoothing),
        dice_weight=settings.dice_weight,
        class_weights=weights.tolist(),
    )
