"""A CAM classifier trained on a project's labeled tiles."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric

from segmix_core.api.checkpoints import FOLDER
from segmix_core.api.kept_stains import keep_stains, read_stains, tile_edges
from segmix_core.data.batch import Batch
from segmix_core.data.batches import BatchPlan, TileBatches
from segmix_core.data.project_tiles import (
    batch_edge,
    labeled_tiles,
    working_boxes,
)
from segmix_core.data.samples import TileSamples
from segmix_core.data.tile_reader import TileReader
from segmix_core.events import Event, Warned
from segmix_core.inference.evidence import Evidence
from segmix_core.inference.mask_rules import rules_of, warn_of_little_glass
from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.inference.sample_cams import gather_evidence, predict_tile_cams
from segmix_core.inference.teacher import Teacher
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.precision import resolve_precision
from segmix_core.project.readiness import check_trainable, find_doubts
from segmix_core.project.records import VAL_SPLIT, TileTable
from segmix_core.project.store import ProjectStore
from segmix_core.settings import RunSettings
from segmix_core.slides.slide import RgbArray
from segmix_core.training.classifier import ClassifierSpec
from segmix_core.training.fit_settings import FitResult
from segmix_core.training.method_parts import parts_of, shares_foreground
from segmix_core.training.self_training import LaterRounds, fit_rounds
from segmix_core.training.task import Listener
from segmix_core.training.validation import Validate, tile_validation

PREVIEW_TILES = 16
"""Tiles whose maps are shown while training."""


def fit_project(
    store: ProjectStore,
    settings: RunSettings,
    folder: Path,
    *,
    fabric: Fabric,
    listener: Listener,
) -> tuple[FitResult, CamClassifier] | None:
    """Train on the labeled tiles of the split train.

    Parameters
    ----------
    store
        The project.
    settings
        The method; CAMs and pseudo masks, for methods that learn from masks; and where
        to compute.
    folder
        For checkpoints, in ``checkpoints``, and measured stains. A stopped
        training is resumed.
    fabric, listener
        As for :func:`segmix_core.training.classifier.fit_classifier`.

    Returns
    -------
    result, network
        None if asked to stop before the first step.

    Raises
    ------
    ProjectError
        If the labels cannot train a classifier.
    ConfigError
        If settings contradict the tiles.
    """
    check_trainable(store)
    for doubt in find_doubts(store):
        listener.emit(Warned(message=doubt))
    tiles, images, method = labeled_tiles(store), store.images(), settings.train
    parts = parts_of(method)
    with (
        TileReader(
            images,
            normalize_stain=parts.normalized_stain,
            tile_px=tile_edges(folder, store),
            measured=read_stains(folder),
        ) as reader,
        TileReader(images, cache_bytes=0) as raw,
    ):
        ids = np.unique(tiles.image_ids).tolist()
        if not keep_stains(
            folder, reader.stains, ids, fabric=fabric, listener=listener
        ):
            return None
        if parts.rounds:
            warn_of_little_glass(
                settings.pseudo_masks, TileSamples(tiles, raw), listener.emit
            )
        samples = TileSamples(tiles, reader)
        plan = BatchPlan(
            tile_px=batch_edge(working_boxes(tiles, images)),
            batch_size=method.batch_size,
            seed=method.seed,
            rank=fabric.global_rank,
            processes=fabric.world_size,
        )
        names = tuple(entry.name for entry in store.classes())
        later = LaterRounds(
            project_teacher(store, settings, samples, reader, raw, plan, fabric),
            plan,
            shares_foreground(method, settings.pseudo_masks.background),
        )
        return fit_rounds(
            TileBatches(samples, plan, listener.emit),
            ClassifierSpec(plan.tile_px, names, folder / FOLDER),
            method,
            later,
            fabric=fabric,
            listener=listener,
            preview=_preview_tiles(tiles, reader, plan.tile_px),
            validate=_val_loss(store, reader, method.batch_size, listener),
        )


def project_teacher(
    store: ProjectStore,
    settings: RunSettings,
    samples: TileSamples,
    reader: TileReader,
    raw: TileReader,
    plan: BatchPlan,
    fabric: Fabric,
) -> Teacher:
    """Return the teacher of a project's tiles, shown with what is around them.

    Parameters
    ----------
    store, settings
        The project, and how CAMs and pseudo masks are made.
    samples, reader
        Which tiles, and their pixels as the networks see them.
    raw
        Reads the pixels as they are.
    plan, fabric
        Of the training.
    """
    tiles = samples.tiles
    precision = resolve_precision(settings.machine.precision, fabric.device)

    def look(
        model: CamClassifier, emit: Callable[[Event], None]
    ) -> Iterator[tuple[Evidence, PseudoMaskRules] | None]:
        predicted = predict_tile_cams(
            model,
            tiles,
            reader,
            settings.cams,
            emit,
            edge=plan.tile_px,
            precision=precision,
        )
        return gather_evidence(predicted, model, samples, read_raw, rules, emit)

    def read_raw(row: int) -> RgbArray:
        return raw.read_pixels(int(tiles.image_ids[row]), tiles.box(row))

    def rules(row: int) -> PseudoMaskRules:
        image = raw.image(int(tiles.image_ids[row]))
        return rules_of(settings.pseudo_masks, image.working_mpp)

    return Teacher(
        samples,
        look,
        corrections=samples.masks(store.corrections),
        corrected_weight=settings.segmenter.corrected_weight,
        agree=fabric.broadcast,
    )


def _val_loss(
    store: ProjectStore, reader: TileReader, batch_size: int, listener: Listener
) -> Validate | None:
    """Return the loss on the labeled tiles of val; None if there are none."""
    tiles = labeled_tiles(store, VAL_SPLIT)
    if len(tiles) == 0:
        return None
    edge = batch_edge(working_boxes(tiles, store.images()))
    plan = BatchPlan(tile_px=edge, batch_size=batch_size, in_order=True)
    loader = TileBatches(TileSamples(tiles, reader), plan, listener.emit)
    return tile_validation(loader, listener.should_stop)


def _preview_tiles(tiles: TileTable, reader: TileReader, edge: int) -> Batch:
    """Return tiles spread evenly over all, so that every class may be among them."""
    count = min(len(tiles), PREVIEW_TILES)
    rows = np.unique(np.linspace(0, len(tiles) - 1, count).round().astype(np.int64))
    plan = BatchPlan(tile_px=edge, batch_size=len(rows), in_order=True)
    # The training itself will warn of tiles that cannot be read.
    samples = TileSamples(tiles.take(rows), reader)
    loader = TileBatches(samples, plan, lambda event: None)
    with closing(loader.batches(0)) as batches:
        return next(batches)
