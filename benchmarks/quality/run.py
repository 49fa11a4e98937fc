"""Methods trained and scored one after the other, under the same conditions."""

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.quality.folder import BenchmarkFolder, LabeledImage
from benchmarks.quality.maps import of_images
from benchmarks.quality.methods import BenchmarkMethod
from benchmarks.quality.protocol import MapsOf, Protocol, classes_of
from benchmarks.quality.protocol_maps import protocol_maps
from benchmarks.quality.pseudo import protocol_teacher
from benchmarks.quality.results import MethodResult
from benchmarks.quality.samples import batch_edge
from benchmarks.quality.scores import Scorer, Scores
from benchmarks.quality.segmenter import FindForeground, learn_masks
from benchmarks.quality.trivial import TRIVIAL_PREDICTORS
from benchmarks.quality.variants import Variant
from segmix_core.data.batches import BatchPlan, TileBatches
from segmix_core.data.samples import SampleSource
from segmix_core.files import temporary_folder
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.settings import RunSettings
from segmix_core.training.classifier import ClassifierSpec, fit_classifier
from segmix_core.training.fit_settings import FitResult
from segmix_core.training.method_parts import parts_of, shares_foreground
from segmix_core.training.self_training import LaterRounds, Teach, fit_rounds
from segmix_core.training.start import launch_fabric
from segmix_core.training.task import Listener


def score_trivial(folder: BenchmarkFolder) -> Iterator[MethodResult]:
    """Yield the scores of the predictors that learn nothing."""
    for name, predict in TRIVIAL_PREDICTORS.items():
        scores = score_predictor(folder, predict)
        yield MethodResult(name, None, scores, scored="trivial")


def run_method(
    protocol: Protocol,
    variant: Variant,
    config: RunSettings,
    listener: Listener,
    *,
    segmenter: bool = False,
) -> Iterator[MethodResult]:
    """Train a method on train, choose its threshold on val, score it.

    Parameters
    ----------
    protocol
        What to learn from and how to score.
    variant
        The method, and the settings it has of its own.
    config
        Everything else, with the seed; equal for all rows.
    listener
        Is told of progress; when it asks to stop, no more results come.
    segmenter
        Train the project's segmenter on masks that the method makes of train, too.

    Yields
    ------
    MethodResult
        Of the maps, then of the segmenter if there is one.
    """
    recipe = variant.recipe
    config = variant.apply(config).replace(
        {"pseudo_masks.background": protocol.background}
    )
    tiles, folder = protocol.training_samples(), protocol.folder
    if parts_of(config.train).normalized_stain:
        tiles = tiles.with_normalized_stain()
    with temporary_folder() as checkpoints:
        spec = ClassifierSpec(batch_edge(tiles), protocol.label_names, checkpoints)
        samples = recipe.samples(protocol, tiles)
        teach = protocol_teacher(protocol, config)
        result, model = _train(recipe, samples, spec, config, listener, teach)
    if result.reason != "completed":
        return
    model = model.eval()
    maps = protocol_maps(protocol, model, recipe.maps(model, config))
    maps_of = of_images(maps)
    threshold = protocol.fit_threshold(maps_of)
    scores = score(protocol, maps_of, threshold or 0.0)
    found = MethodResult(
        variant.name,
        config.train.seed,
        scores,
        threshold,
        reads_train_masks=recipe.reads_train_masks,
        settings=variant.changes,
    )
    yield found
    if not segmenter:
        return
    masks = recipe.masks(protocol, maps, threshold, config.pseudo_masks)
    predict = learn_masks(protocol, masks, config, listener)
    if predict is not None:
        scores = score_predictor(folder, predict)
        yield replace(found, scores=scores, scored="segmenter")


def _train(
    recipe: BenchmarkMethod,
    samples: SampleSource,
    spec: ClassifierSpec,
    config: RunSettings,
    listener: Listener,
    teach: Teach,
) -> tuple[FitResult, CamClassifier]:
    method, fabric = config.train, launch_fabric(config.machine)
    plan = BatchPlan(
        tile_px=spec.tile_px, batch_size=method.batch_size, seed=method.seed
    )
    loader = TileBatches(samples, plan, listener.emit)
    if recipe.make_task is None:
        shared = shares_foreground(method, config.pseudo_masks.background)
        return fit_rounds(
            loader,
            spec,
            method,
            LaterRounds(teach, plan, shared),
            fabric=fabric,
            listener=listener,
        )
    return fit_classifier(
        loader,
        spec,
        method,
        fabric=fabric,
        listener=listener,
        make_task=recipe.make_task,
    )


def score(protocol: Protocol, maps_of: MapsOf, threshold: float) -> Scores:
    """Return the scores of maps on the images to score."""
    folder, scorer = protocol.folder, Scorer()
    for image, group in _with_class(folder):
        found = protocol.foreground(image, maps_of(image), threshold)
        scorer.add(group, folder.read_mask(image) > 0, found)
    return scorer.result()


def score_predictor(folder: BenchmarkFolder, predict: FindForeground) -> Scores:
    """Return the scores of what finds foreground in pixels."""
    scorer = Scorer()
    for image, group in _with_class(folder):
        found = predict(folder.read_image(image.name))
        scorer.add(group, folder.read_mask(image) > 0, found)
    return scorer.result()


def _with_class(folder: BenchmarkFolder) -> Iterator[tuple[LabeledImage, str]]:
    images = folder.scored_images
    return zip(images, classes_of(images, folder.class_names), strict=True)
