"""The stage "train": a CAM classifier, from tile labels."""

from typing import Any

import numpy as np

from segmix_core.data.tile_reader import TileReader
from segmix_core.events import Warned
from segmix_core.project.readiness import check_trainable, find_doubts
from segmix_core.stages.job import Job, labelled_tiles, samples_of
from segmix_core.stages.little_glass import warn_of_little_glass
from segmix_core.stages.methods import parts_of
from segmix_core.stages.project_teacher import project_teacher
from segmix_core.stages.self_training import fit_rounds
from segmix_core.stages.stains import keep_stains, read_stains, tile_edges
from segmix_core.stages.train import Preparation
from segmix_core.stages.watched_tiles import preview_tiles, val_loss


def train_classifier(job: Job) -> dict[str, Any]:
    """Train on the labelled tiles; resume if the run has a checkpoint already.

    Raises
    ------
    ProjectError
        If the labels cannot train a classifier.
    ConfigError
        If settings contradict the tiles.
    """
    check_trainable(job.store)
    for doubt in find_doubts(job.store):
        job.writer.emit(Warned(message=doubt))
    tiles = labelled_tiles(job.store)
    images = job.store.images()
    parts = parts_of(job.config.train)
    measured = read_stains(job.writer.folder.path)
    with (
        TileReader(
            images,
            normalise_stain=parts.normalized_stain,
            tile_px=tile_edges(job.writer.folder.path, job.store),
            measured=measured,
        ) as reader,
        TileReader(images, cache_bytes=0) as raw,
    ):
        keep_stains(job, reader.stains, np.unique(tiles.image_ids).tolist())
        if parts.rounds:
            warn_of_little_glass(job.config.pseudo_masks, tiles, raw, job.writer.emit)
        samples, edge = samples_of(tiles, images, reader)
        result, _ = fit_rounds(
            samples,
            Preparation(
                edge, tuple(job.class_names), job.writer.folder.checkpoints_path
            ),
            job.config,
            job.writer,
            project_teacher(job, samples, reader, raw, edge),
            preview=preview_tiles(job, tiles, reader, edge),
            validate=val_loss(job, reader),
        )
    return {"steps": result.step, "tiles": len(tiles)}
