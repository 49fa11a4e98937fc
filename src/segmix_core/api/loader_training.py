"""A CAM classifier trained on batches of a program's own loader."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from segmix_core.api.checkpoints import FOLDER
from segmix_core.data.batches import BatchPlan
from segmix_core.data.loader_batches import LoaderBatches
from segmix_core.data.samples import ArraySamples, SampleSource
from segmix_core.errors import ConfigError
from segmix_core.events import Event
from segmix_core.inference.evidence import Evidence
from segmix_core.inference.mask_rules import rules_of, warn_of_little_glass
from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.inference.sample_cams import gather_evidence, predict_cams
from segmix_core.inference.teacher import Teacher
from segmix_core.methods import Method, SegMixPlus
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.precision import resolve_precision
from segmix_core.settings import RunSettings
from segmix_core.training.classifier import ClassifierSpec
from segmix_core.training.fit_settings import FitResult
from segmix_core.training.method_parts import shares_foreground
from segmix_core.training.resume import BEST
from segmix_core.training.self_training import LaterRounds, fit_rounds
from segmix_core.training.task import Listener
from segmix_core.training.validation import Validate, tile_validation


def fit_loader(
    source: Iterable[Any],
    classes: Sequence[str],
    settings: RunSettings,
    folder: Path,
    *,
    validation: Iterable[Any] | None,
    fabric: Fabric,
    listener: Listener,
) -> FitResult:
    """Train on the batches of a loader.

    Parameters
    ----------
    source
        As for :class:`segmix_core.data.loader_batches.LoaderBatches`.
    classes
        Names of the label columns.
    settings
        The method; CAMs and pseudo masks, for methods that learn from masks.
    folder
        For checkpoints, in ``checkpoints``. A stopped training is resumed.
    validation
        As ``source``: the loss is measured on it after each epoch.
    fabric, listener
        As for :func:`segmix_core.training.classifier.fit_classifier`.

    Raises
    ------
    DataError
        If images or labels do not fit.
    ConfigError
        If the method contradicts the images or the loader.
    """
    if fabric.world_size > 1:
        raise ConfigError(
            "A loader cannot be trained on by several processes.",
            "Pass a project instead, or train with one process.",
        )
    seed = settings.train.seed
    loader = LoaderBatches(source, classes, seed=seed, emit=listener.emit)
    method = _fitting(settings.train, loader.batch_size, validation)
    plan = BatchPlan(
        tile_px=loader.tile_px,
        batch_size=loader.batch_size,
        seed=seed,
        steps=loader.steps_per_epoch,
    )

    def teach(model: CamClassifier, part: Listener) -> SampleSource | None:
        samples = loader.collect()
        warn_of_little_glass(settings.pseudo_masks, samples, part.emit)
        look = _look(samples, settings, plan.tile_px, fabric)
        return Teacher(samples, look)(model, part)

    result, _ = fit_rounds(
        loader,
        ClassifierSpec(plan.tile_px, tuple(classes), folder / FOLDER),
        method,
        LaterRounds(
            teach, plan, shares_foreground(method, settings.pseudo_masks.background)
        ),
        fabric=fabric,
        listener=listener,
        validate=_validation(validation, classes, seed, listener),
    )
    return result


def _fitting(
    method: Method, batch_size: int, validation: Iterable[Any] | None
) -> Method:
    """Return the method as it trains on a loader."""
    chosen = method.model_fields_set
    if "batch_size" in chosen and method.batch_size != batch_size:
        raise ConfigError(
            f"The method asks for batches of {method.batch_size} images, but those of "
            f"the loader have {batch_size}.",
            "Leave batch_size out of the method.",
        )
    if method.keep == BEST and validation is None:
        raise ConfigError(
            "keep='best' needs images to measure the loss on.",
            "Pass validation=..., or keep='last'.",
        )
    if not isinstance(method, SegMixPlus):
        return method
    if "stain_normalization" in chosen and method.stain_normalization:
        raise ConfigError(
            "A loader does not tell which images are of one slide, so their stain "
            "cannot be normalized.",
            "Leave stain_normalization out, or train on a project.",
        )
    return method.model_copy(update={"stain_normalization": False})


def _look(
    samples: ArraySamples, settings: RunSettings, edge: int, fabric: Fabric
) -> Callable[
    [CamClassifier, Callable[[Event], None]],
    Iterator[tuple[Evidence, PseudoMaskRules] | None],
]:
    """Return what shows whole images to a network."""
    precision = resolve_precision(settings.machine.precision, fabric.device)
    rules = rules_of(settings.pseudo_masks, mpp=None)

    def look(
        model: CamClassifier, emit: Callable[[Event], None]
    ) -> Iterator[tuple[Evidence, PseudoMaskRules] | None]:
        predicted = predict_cams(
            model, samples, settings.cams, emit, edge=edge, precision=precision
        )
        return gather_evidence(
            predicted,
            model,
            samples,
            lambda row: samples.read(row).image,
            lambda row: rules,
            emit,
        )

    return look


def _validation(
    source: Iterable[Any] | None,
    classes: Sequence[str],
    seed: int,
    listener: Listener,
) -> Validate | None:
    if source is None:
        return None
    # What its labels lack is no matter of learning.
    loader = LoaderBatches(source, classes, seed=seed, emit=lambda event: None)
    return tile_validation(loader, listener.should_stop)
