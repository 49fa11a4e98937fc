"""Compute the class activation maps of all tiles, labeled or not."""

from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from segmix_core.api.kept_stains import read_stains, tile_edges
from segmix_core.data.batch import Batch
from segmix_core.data.project_tiles import batch_edge, tiles_of, working_boxes
from segmix_core.data.tile_reader import TileReader
from segmix_core.events import StageStarted
from segmix_core.inference.cam_maps import CamResult
from segmix_core.inference.sample_cams import predict_tile_cams
from segmix_core.models.cam_classifier import CamClassifier, load_classifier
from segmix_core.models.fusion import fold_norms
from segmix_core.models.precision import resolve_precision
from segmix_core.runs.results import create_cams, save_tiles
from segmix_core.stages.job import Job
from segmix_core.stages.weights import load_input
from segmix_core.training.start import prepare_device

_NO_TILE = -1


def compute_cams(job: Job) -> dict[str, Any]:
    """Store a map per class for every tile, and the class probabilities."""
    settings = job.config.cams
    device = prepare_device(job.config.machine)
    precision = resolve_precision(job.config.machine.precision, device)
    model = _load_classifier(job, device)
    images = job.images()
    tiles = tiles_of(job.store, images)
    edge = batch_edge(working_boxes(tiles, images))
    steps = -(-len(tiles) // settings.batch_size)
    # All images of a group determine its stain, whichever are requested.
    with TileReader(
        job.store.images(),
        cache_bytes=0,
        normalize_stain=model.normalized_stain,
        tile_px=tile_edges(job.input_run("train"), job.store),
        measured=read_stains(job.input_run("train")),
    ) as reader:
        maps = _Maps(job, tiles.ids, model, edge)
        job.writer.emit(
            StageStarted(stage=job.request.stage, total_steps=steps, device=str(device))
        )
        predicted = predict_tile_cams(
            model,
            tiles,
            reader,
            settings,
            job.writer.emit,
            edge=edge,
            precision=precision,
        )
        with closing(predicted) as running:
            for step, (batch, result) in enumerate(running, start=1):
                maps.add(batch, result)
                job.writer.progress(step, steps)
                if job.writer.should_stop():
                    return {}
    return {"tiles": maps.save()}


def _load_classifier(job: Job, device: torch.device) -> CamClassifier:
    model = load_classifier(load_input(job, "train", "classifier"))
    fold_norms(model)
    # Convolutions are fastest with channels last, on CPU and GPU.
    return model.to(memory_format=torch.channels_last).to(device)


class _Maps:
    """The maps and columns of a run, filled batch by batch in tile order."""

    def __init__(
        self,
        job: Job,
        tile_ids: npt.NDArray[np.int64],
        model: CamClassifier,
        edge: int,
    ) -> None:
        self._run, self._wanted, self._stride = job.run, tile_ids, model.stride
        self._row = 0
        count, classes, cells = (
            len(tile_ids),
            model.num_classes,
            -(-edge // self._stride),
        )
        self._cams = create_cams(self._run, count, classes, (cells, cells))
        self._waiting: list[npt.NDArray[np.uint8]] = []
        self._written = 0
        self._columns: dict[str, npt.NDArray[Any]] = {
            "tile_ids": tile_ids.copy(),
            "probabilities": np.zeros((count, classes), np.float32),
            "scales": np.zeros((count, classes), np.float32),
            "valid": np.zeros((count, 2), np.int64),
            "stride": np.asarray(self._stride),
            "shared_foreground": np.asarray(model.shared_foreground),
            "class_names": np.array(job.class_names),
        }

    def add(self, batch: Batch, result: CamResult) -> None:
        """Add the next tiles."""
        part = slice(self._row, self._row + len(batch))
        self._row += len(batch)
        # An unreadable tile is replaced by another one, whose map it must not get.
        replaced = batch.tile_ids.numpy() != self._wanted[part]
        valid = -(-batch.valid.numpy() // self._stride)
        cam = without_padding(result.cam.cpu().numpy(), valid)
        columns = self._columns
        maps, columns["scales"][part] = quantize(cam)
        self._waiting.append(maps)
        columns["probabilities"][part] = result.probabilities.cpu().numpy()
        columns["valid"][part] = valid
        columns["tile_ids"][part][replaced] = _NO_TILE
        # Write whole chunks: each partial write would compress the chunk again.
        if self._row - self._written >= self._cams.chunks[0]:
            self._write()

    def _write(self) -> None:
        if self._waiting:
            self._cams[self._written : self._row] = np.concatenate(self._waiting)
            self._written = self._row
            self._waiting.clear()

    def save(self) -> int:
        """Write the columns, and return how many tiles have a map."""
        self._write()
        save_tiles(self._run, self._columns)
        return int((self._columns["tile_ids"] != _NO_TILE).sum())


def without_padding(
    cams: npt.NDArray[np.float32], valid: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Set maps (B, C, h, w) to 0 outside the ``valid`` (B, 2) cells."""
    rows = np.arange(cams.shape[2]) < valid[:, :1]
    cols = np.arange(cams.shape[3]) < valid[:, 1:]
    return cams * (rows[:, None, :, None] & cols[:, None, None, :])


def quantize(
    cams: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Quantize maps (B, C, h, w) >= 0 to bytes; also return the scales (B, C) of 255.

    Each class uses the full range. With a common scale, a strong map of an absent class
    would leave few levels for a weak one of a present class.
    """
    scales = cams.max(axis=(2, 3))
    shares = cams / np.where(scales > 0, scales, 1)[:, :, None, None]
    return (shares * 255).round().astype(np.uint8), scales
