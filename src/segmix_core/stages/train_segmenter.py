"""The stage "train-segmenter": a segmenter from pseudo masks and corrections."""

from typing import Any

import numpy as np

from segmix_core.data.project_tiles import batch_edge, working_boxes
from segmix_core.data.samples import MaskedSamples, TileSamples
from segmix_core.data.tile_reader import TileReader
from segmix_core.errors import JobError
from segmix_core.events import Warned
from segmix_core.project.records import TRAIN_SPLIT, TileTable
from segmix_core.runs.results import RunMasks, load_tiles
from segmix_core.stages.classes import check_mask_classes
from segmix_core.stages.job import Job
from segmix_core.training.segmenter import SegmenterSpec, fit_segmenter
from segmix_core.training.start import launch_fabric


def train_segmenter(job: Job) -> dict[str, Any]:
    """Train on the masks of a "pseudo-masks" run; resume if there is a checkpoint.

    Raises
    ------
    JobError
        If the masks have no pixel of any class, or have other classes.
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
            plain.masks(RunMasks(base)),
            plain.masks(job.store.corrections),
            corrected_weight=job.config.segmenter.corrected_weight,
        )
        # Count corrections everywhere: otherwise a background that occurs only in a few
        # strokes would get no channel and could not be learned.
        drawn = np.flatnonzero(np.isin(tiles.ids, job.store.corrected_tiles()))
        pixels = samples.count_pixels(len(job.class_names), also=drawn)
        if len(tiles) == 0 or not pixels.any():
            raise JobError(
                "The pseudo masks of the training images have no pixel with a class.",
                "Make pseudo masks with a smaller margin, or label more tiles.",
            )
        spec = SegmenterSpec(
            batch_edge(working_boxes(tiles, images)),
            tuple(job.class_names),
            job.writer.folder.checkpoints_path,
        )
        result, _ = fit_segmenter(
            samples,
            pixels,
            spec,
            job.config.segmenter,
            fabric=launch_fabric(job.config.machine),
            listener=job.writer,
        )
    return {"steps": result.step, "tiles": len(tiles)}


def _warn_of_unused(job: Job, tiles: TileTable) -> None:
    """Warn about corrected tiles without a pseudo mask, which are not used."""
    unused = int((~np.isin(job.store.corrected_tiles(), tiles.ids)).sum())
    if unused:
        job.writer.emit(
            Warned(
                message=f"{unused} corrected tiles are not used: they are in "
                "no training image, or newer than the pseudo masks. Make pseudo "
                "masks again to use the newer ones."
            )
        )
