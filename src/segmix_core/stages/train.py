"""A CAM classifier fitted to tiles, as the settings say."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from segmix_core.data.batch import Batch
from segmix_core.data.batches import BatchPlan, TileBatches
from segmix_core.data.samples import SampleSource
from segmix_core.encoders import SCRATCH
from segmix_core.methods import Method
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.checkpoint import has_checkpoint, read_origin
from segmix_core.settings import RunSettings
from segmix_core.stages.methods import Steps, parts_of
from segmix_core.stages.weights import (
    LAST,
    begin_training,
    launch_fabric,
    prepare_device,
)
from segmix_core.training.classifier_task import ClassifierTask
from segmix_core.training.fit_settings import FitResult, FitSettings
from segmix_core.training.resume import BEST, CheckpointPlan
from segmix_core.training.task import Listener, Task
from segmix_core.training.trainer import fit
from segmix_core.training.validation import Validate

# A map learned from a mask says where a class is, and its mean only how large.
_SHARE_OF_MASKS = 0.1


@dataclass(frozen=True, slots=True)
class Preparation:
    """What a classifier is trained for.

    Attributes
    ----------
    tile_px
        Edge of a batch's images.
    class_names
        Of the label columns.
    checkpoints
        Folder of the checkpoints.
    learns_masks
        The network's maps are to learn from masks, not from the labels of tiles.
    shared_foreground
        Of these masks, which have background.
    """

    tile_px: int
    class_names: tuple[str, ...]
    checkpoints: Path
    learns_masks: bool = False
    shared_foreground: bool = False


def fit_classifier(
    samples: SampleSource,
    preparation: Preparation,
    config: RunSettings,
    listener: Listener,
    *,
    preview: Batch | None = None,
    make_task: Callable[[CamClassifier], Task] | None = None,
    validate: Validate | None = None,
) -> tuple[FitResult, CamClassifier]:
    """Train a classifier as the settings say, and return it with its last weights.

    Parameters
    ----------
    samples
        Tiles to learn from.
    preparation
        Tile size, class names and where checkpoints go.
    config, listener
        Of the run.
    preview
        Tiles whose maps are shown while it trains.
    make_task
        Makes what is learned out of the new network; None: the method of the settings.
        Network, steps and order of tiles are the same either way.
    validate
        Measures the classifier after each epoch.

    Raises
    ------
    ConfigError
        If settings contradict the tiles or the machine.
    """
    settings = config.train
    device = prepare_device(config.machine)
    last = preparation.checkpoints / LAST
    resumed = has_checkpoint(last)
    model = _make_model(settings, preparation, resumed)
    origin = read_origin(last) if resumed else model.origin
    fabric = launch_fabric(config.machine, device)
    plan = BatchPlan(
        tile_px=preparation.tile_px,
        batch_size=settings.batch_size,
        seed=settings.seed,
        rank=fabric.global_rank,
        processes=fabric.world_size,
    )
    loader = TileBatches(samples, plan, listener.emit)
    steps = loader.steps_per_epoch
    task: Task = (
        make_task(model)
        if make_task
        else _make_task(settings, model, preparation.tile_px, steps, preview)
    )
    resume_from = begin_training(
        listener,
        "train",
        checkpoints=preparation.checkpoints,
        total_steps=settings.epochs * steps,
        device=device,
    )
    result = fit(
        task,
        loader,
        _fit_settings(settings),
        fabric=fabric,
        listener=listener,
        checkpoints=CheckpointPlan(
            preparation.checkpoints,
            "classifier",
            model.arguments,
            preparation.class_names,
            origin,
        ),
        validate=validate,
        resume_from=resume_from,
    )
    return result, model


def _make_model(
    settings: Method, preparation: Preparation, resumed: bool
) -> CamClassifier:
    torch.manual_seed(settings.seed)
    parts = parts_of(settings)
    return CamClassifier(
        num_classes=len(preparation.class_names),
        backbone=settings.backbone,
        width=settings.width,
        stride=settings.stride,
        # Masks do not train it.
        pcm=parts.second_view and not preparation.learns_masks,
        fusion=parts.fusion,
        pooled_share=_SHARE_OF_MASKS
        if preparation.learns_masks
        else parts.pooled_share,
        pooled_mean=0.0 if preparation.learns_masks else parts.pooled_mean,
        shared_foreground=preparation.shared_foreground,
        normalised_stain=parts.normalized_stain,
        # A run that goes on has weights of its own; the file may be gone by then.
        weights=SCRATCH if resumed else settings.weights,
        freeze=settings.freeze,
        frozen_norm=settings.weights != SCRATCH,
    )


def _fit_settings(settings: Method) -> FitSettings:
    return FitSettings(
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        seed=settings.seed,
        average=settings.average,
        keep_best=settings.keep == BEST,
    )


def _make_task(
    method: Method,
    model: CamClassifier,
    tile_px: int,
    steps_per_epoch: int,
    preview: Batch | None,
) -> ClassifierTask:
    parts = parts_of(method)
    steps = Steps(
        tile_px=tile_px,
        stride=model.size_multiple,
        epochs=method.epochs,
        per_epoch=steps_per_epoch,
    )
    parts.check(steps)
    return ClassifierTask(
        model,
        controller=parts.make_curriculum(steps),
        second_view=parts.second_view,
        weights=parts.weights,
        scope=parts.scope,
        label_rule=parts.label_rule,
        preview_tiles=preview,
    )
