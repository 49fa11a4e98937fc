"""The tiles a training is watched on: those whose maps are shown, and those of val."""

from contextlib import closing

import numpy as np

from segmix_core.data.batch import Batch
from segmix_core.data.batches import BatchPlan, TileBatches
from segmix_core.data.samples import TileSamples
from segmix_core.data.tile_reader import TileReader
from segmix_core.project.records import TileTable
from segmix_core.stages.job import VAL_SPLIT, Job, labelled_tiles, samples_of
from segmix_core.training.validation import Validate, tile_validation

PREVIEW_TILES = 16
"""Tiles whose maps are shown while training."""


def val_loss(job: Job, reader: TileReader) -> Validate | None:
    """Return the loss on the labelled tiles of val; None if there are none."""
    tiles = labelled_tiles(job.store, VAL_SPLIT)
    if len(tiles) == 0:
        return None
    samples, edge = samples_of(tiles, job.store.images(), reader)
    plan = BatchPlan(
        tile_px=edge, batch_size=job.config.train.batch_size, in_order=True
    )
    loader = TileBatches(samples, plan, job.writer.emit)
    return tile_validation(loader, job.writer.should_stop)


def preview_tiles(job: Job, tiles: TileTable, reader: TileReader, edge: int) -> Batch:
    """Return tiles spread evenly over all, so that every class may be among them."""
    count = min(len(tiles), PREVIEW_TILES)
    rows = np.unique(np.linspace(0, len(tiles) - 1, count).round().astype(np.int64))
    plan = BatchPlan(tile_px=edge, batch_size=len(rows), in_order=True)
    # The training itself will warn of tiles that cannot be read.
    samples = TileSamples(tiles.take(rows), reader)
    loader = TileBatches(samples, plan, lambda event: None)
    with closing(loader.batches(0)) as batches:
        return next(batches)
