"""Train a CAM classifier by a method."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric

from segmix_core.data.batch import Batch
from segmix_core.encoders import SCRATCH
from segmix_core.methods import Method
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.checkpoint import has_checkpoint, read_origin
from segmix_core.training.classifier_task import ClassifierTask
from segmix_core.training.fit_settings import FitResult, FitSettings
from segmix_core.training.method_parts import Steps, parts_of
from segmix_core.training.resume import BEST, CheckpointPlan
from segmix_core.training.start import LAST, begin_training
from segmix_core.training.task import Listener, Loader, Task
from segmix_core.training.trainer import fit
from segmix_core.training.validation import Validate

# A map learned from masks says where a class is, but its mean only how large it is.
_SHARE_OF_MASKS = 0.1


@dataclass(frozen=True, slots=True)
class ClassifierSpec:
    """The kind of classifier to train.

    Attributes
    ----------
    tile_px
        Edge of a batch's images.
    class_names
        Of the label columns.
    checkpoints
        Folder of the checkpoints.
    learns_masks
        Whether the maps learn from masks instead of tile labels.
    shared_foreground
        Whether classes share a foreground; for masks with background.
    """

    tile_px: int
    class_names: tuple[str, ...]
    checkpoints: Path
    learns_masks: bool = False
    shared_foreground: bool = False


def fit_classifier(
    loader: Loader,
    spec: ClassifierSpec,
    method: Method,
    *,
    fabric: Fabric,
    listener: Listener,
    preview: Batch | None = None,
    make_task: Callable[[CamClassifier], Task] | None = None,
    validate: Validate | None = None,
) -> tuple[FitResult, CamClassifier]:
    """Train a classifier by a method; return it with its final weights.

    Parameters
    ----------
    loader
        Tiles to learn from, in batches.
    spec
        Tile size, class names and folder of checkpoints; resumes from an existing
        checkpoint.
    method
        Settings of losses, network and length of training.
    fabric
        From :func:`segmix_core.training.device.make_fabric`.
    listener
        Gets progress, and can stop the training after every step.
    preview
        Tiles whose maps are shown during training.
    make_task
        Makes the task from the new network; None: the one of the method. Network,
        steps and order of tiles are the same either way.
    validate
        Measures the classifier after each epoch.

    Raises
    ------
    ConfigError
        If the method does not suit the tiles.
    """
    last = spec.checkpoints / LAST
    resumed = has_checkpoint(last)
    model = _make_model(method, spec, resumed)
    origin = read_origin(last) if resumed else model.origin
    steps = loader.steps_per_epoch
    task: Task = (
        make_task(model)
        if make_task
        else _make_task(method, model, spec.tile_px, steps, preview)
    )
    resume_from = begin_training(
        listener,
        "train",
        checkpoints=spec.checkpoints,
        total_steps=method.epochs * steps,
        device=fabric.device,
    )
    result = fit(
        task,
        loader,
        _fit_settings(method),
        fabric=fabric,
        listener=listener,
        checkpoints=CheckpointPlan(
            spec.checkpoints,
            "classifier",
            model.arguments,
            spec.class_names,
            origin,
            # Compared in this order: another method is named before its settings.
            {
                "method": method.method,
                **method.model_dump(mode="json"),
                "tile_px": spec.tile_px,
            },
        ),
        validate=validate,
        resume_from=resume_from,
    )
    return result, model


def _make_model(method: Method, spec: ClassifierSpec, resumed: bool) -> CamClassifier:
    torch.manual_seed(method.seed)
    parts = parts_of(method)
    return CamClassifier(
        num_classes=len(spec.class_names),
        backbone=method.backbone,
        width=method.width,
        stride=method.stride,
        # Not trained by masks.
        pcm=parts.second_view and not spec.learns_masks,
        fusion=parts.fusion,
        pooled_share=_SHARE_OF_MASKS if spec.learns_masks else parts.pooled_share,
        pooled_mean=0.0 if spec.learns_masks else parts.pooled_mean,
        shared_foreground=spec.shared_foreground,
        normalized_stain=parts.normalized_stain,
        # A resumed run has its own weights; the file may be gone.
        weights=SCRATCH if resumed else method.weights,
        freeze=method.freeze,
        frozen_norm=method.weights != SCRATCH,
    )


def _fit_settings(method: Method) -> FitSettings:
    return FitSettings(
        epochs=method.epochs,
        learning_rate=method.learning_rate,
        weight_decay=method.weight_decay,
        seed=method.seed,
        average=method.average,
        keep_best=method.keep == BEST,
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
