"""Class activation maps of all tiles, labelled or not."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from segmix_core.data.batches import BatchPlan, TileBatches
from segmix_core.data.tile_reader import TileReader
from segmix_core.events import StageStarted
from segmix_core.inference.cam_maps import cam_maps
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.checkpoint import load_weights
from segmix_core.runs.results import create_cams, save_tiles
from segmix_core.stages.job import Job, samples_of, tiles_of
from segmix_core.training.device import resolve_device


def load_classifier(job: Job, device: torch.device) -> CamClassifier:
    """Return the classifier of the run that the job reads, ready to look."""
    checkpoint = job.checkpoint(job.input_run("train"), "classifier")
    model = CamClassifier(**checkpoint.arguments)
    load_weights(model, checkpoint.weights)
    return model.eval().to(device)


def compute_cams(job: Job) -> dict[str, Any]:
    """Store a map per class of every tile, and the class probabilities."""
    settings = job.config.cams
    device = resolve_device(job.config.machine.device)
    model = load_classifier(job, device)
    images = job.images()
    tiles = tiles_of(job.store, images)
    with TileReader(images, cache_bytes=0) as reader:
        samples, edge = samples_of(tiles, images, reader)
        plan = BatchPlan(tile_px=edge, batch_size=settings.batch_size, in_order=True)
        batches = TileBatches(samples, plan, job.writer.emit)
        cells = -(-edge // model.stride)
        count, classes = len(tiles), model.num_classes
        cams = create_cams(job.run, count, classes, (cells, cells))
        columns: dict[str, npt.NDArray[Any]] = {
            "tile_ids": tiles.ids,
            "probabilities": np.zeros((count, classes), np.float32),
            "scales": np.zeros(count, np.float32),
            "valid": np.zeros((count, 2), np.int64),
            "stride": np.asarray(model.stride),
        }
        steps = batches.steps_per_epoch
        job.writer.emit(
            StageStarted(stage="cams", total_steps=steps, device=str(device))
        )
        row = 0
        for step, batch in enumerate(batches.batches(0), start=1):
            result = cam_maps(
                model,
                batch.images.to(device),
                scales=settings.scales,
                flips=settings.flips,
                refine=settings.refine,
            )
            part = slice(row, row + len(batch))
            valid = -(-batch.valid.numpy() // model.stride)
            cam = without_padding(result.cam.cpu().numpy(), valid)
            cams[part], columns["scales"][part] = quantise(cam)
            columns["probabilities"][part] = result.probabilities.cpu().numpy()
            columns["valid"][part] = valid
            row += len(batch)
            job.writer.progress(step, steps)
            if job.writer.should_stop():
                return {}
    save_tiles(job.run, columns)
    return {"tiles": count}


def without_padding(
    cams: npt.NDArray[np.float32], valid: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Return maps (B, C, h, w) that are 0 outside the ``valid`` (B, 2) cells."""
    rows = np.arange(cams.shape[2]) < valid[:, :1]
    cols = np.arange(cams.shape[3]) < valid[:, 1:]
    return cams * (rows[:, None, :, None] & cols[:, None, None, :])


def quantise(
    cams: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Return maps (B, C, h, w) >= 0 as bytes, and what 255 stands for (B,)."""
    scales = cams.max(axis=(1, 2, 3))
    shares = cams / np.where(scales > 0, scales, 1)[:, None, None, None]
    return (shares * 255).round().astype(np.uint8), scales
