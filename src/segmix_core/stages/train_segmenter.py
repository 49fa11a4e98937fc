"""The segmenter, from pseudo masks and corrections."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from segmix_core.data.batches import BatchPlan, TileBatches
from segmix_core.data.samples import (
    MaskArrays,
    MaskedSamples,
    SampleSource,
    TileSamples,
)
from segmix_core.data.tile_reader import TileReader
from segmix_core.errors import JobError
from segmix_core.events import Warned
from segmix_core.geometry import next_multiple
from segmix_core.models.segmenter import Segmenter
from segmix_core.project.records import BACKGROUND, TileTable
from segmix_core.runs.results import load_tiles
from segmix_core.settings import RunSettings, SegmenterSettings
from segmix_core.stages.classes import check_mask_classes
from segmix_core.stages.job import TRAIN_SPLIT, Job, batch_edge, working_boxes
from segmix_core.stages.train import Preparation
from segmix_core.stages.weights import begin_training, launch_fabric, prepare_device
from segmix_core.training.fit_settings import FitResult, FitSettings
from segmix_core.training.noisy_labels import PixelLoss
from segmix_core.training.pixel_losses import inverse_root_weights
from segmix_core.training.resume import CheckpointPlan
from segmix_core.training.segmenter_task import SegmenterTask
from segmix_core.training.task import Listener
from segmix_core.training.trainer import fit

_EPOCHS, _STEPS = 8, 100
"""Of tissue from scratch: see "How the segmenter was chosen" in docs/lab/notes.md."""


def train_segmenter(job: Job) -> dict[str, Any]:
    """Train on the masks of a "pseudo-masks" run; resume if there is a checkpoint.

    Raises
    ------
    JobError
        If the masks have no pixel of any class, or are of other classes.
    """
    base = job.input_run("pseudo-masks")
    check_mask_classes(job.store, base)
    images = [image for image in job.store.images() if image.split == TRAIN_SPLIT]
    tiles = job.store.tiles()
    tiles = tiles.take(
        np.isin(tiles.ids, load_tiles(base)["tile_ids"])
        & np.isin(tiles.image_ids, [image.id for image in images])
    )
    _warn_of_unused(job, tiles)
    with TileReader(images) as reader:
        plain = TileSamples(tiles, reader)
        samples = MaskedSamples(
            plain,
            plain.masks(MaskArrays(base / "masks.zarr")),
            plain.masks(job.store.corrections),
            corrected_weight=job.config.segmenter.corrected_weight,
        )
        # What a person drew is counted wherever it is: a background that a few strokes
        # alone have would get no channel otherwise, and would not be learned.
        drawn = np.flatnonzero(np.isin(tiles.ids, job.store.corrected_tiles()))
        pixels = samples.count_pixels(len(job.class_names), also=drawn)
        if len(tiles) == 0 or not pixels.any():
            raise JobError(
                "The pseudo masks of the training images have no pixel with a class.",
                "Make pseudo masks with a smaller margin, or label more tiles.",
            )
        preparation = Preparation(
            batch_edge(working_boxes(tiles, images)),
            tuple(job.class_names),
            job.writer.folder.checkpoints_path,
        )
        result, _ = fit_segmenter(samples, pixels, preparation, job.config, job.writer)
    return {"steps": result.step, "tiles": len(tiles)}


def _warn_of_unused(job: Job, tiles: TileTable) -> None:
    """Tell of corrected tiles without a pseudo mask: they are not learned from."""
    unused = int((~np.isin(job.store.corrected_tiles(), tiles.ids)).sum())
    if unused:
        job.writer.emit(
            Warned(
                message=f"{unused} corrected tiles are not learned from: they are in "
                "no training image, or newer than the pseudo masks. Make pseudo "
                "masks again to use the newer ones."
            )
        )


def fit_segmenter(
    samples: SampleSource,
    pixels: npt.NDArray[np.int64],
    preparation: Preparation,
    config: RunSettings,
    listener: Listener,
) -> tuple[FitResult, Segmenter]:
    """Train a segmenter as the settings say, and return it with its last weights.

    Parameters
    ----------
    samples
        Tiles with masks.
    pixels
        (C + 1,): how many the masks have of background and each class. Background
        without any gets no channel; rare classes weigh more.
    preparation
        Tile size, the C classes and where checkpoints go.
    config, listener
        Of the run.

    Raises
    ------
    ConfigError
        If settings contradict the machine or name no network.
    """
    settings = config.segmenter
    device = prepare_device(config.machine)
    task = _make_task(settings, len(preparation.class_names), pixels)
    fabric = launch_fabric(config.machine, device)
    plan = BatchPlan(
        tile_px=next_multiple(preparation.tile_px, task.module.size_multiple),
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
        checkpoints=preparation.checkpoints,
        total_steps=epochs * loader.steps_per_epoch,
        device=device,
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
            preparation.checkpoints,
            "segmenter",
            task.module.arguments,
            preparation.class_names,
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
