"""Segment whole images; stream the result into masks and label TIFFs."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segmix_core.data.project_tiles import tiles_of, working_boxes
from segmix_core.data.tile_reader import TileReader
from segmix_core.errors import ProjectError, SegmixError
from segmix_core.events import StageStarted
from segmix_core.export.label_strips import LabelArray
from segmix_core.export.label_tiff import Layout, write_label_tiff
from segmix_core.geometry import Box
from segmix_core.inference.slide_prediction import predict_image
from segmix_core.inference.tile_doubts import TileDoubts
from segmix_core.inference.windows import count_windows
from segmix_core.models.precision import resolve_precision
from segmix_core.models.segmenter import load_segmenter
from segmix_core.project.records import ImageRecord, TileTable
from segmix_core.runs.results import create_mask, remove_mask, save_tiles
from segmix_core.stages.export import (
    chosen_layout,
    corrected,
    export_paths,
    label_info,
    warn_about_bounds,
)
from segmix_core.stages.job import Job, Stopped
from segmix_core.stages.left_out import LeftOut
from segmix_core.stages.weights import load_input
from segmix_core.training.start import prepare_device

Boxes = npt.NDArray[np.int64]
"""(n, 4): y, x, height, width in working pixels."""


def predict_slides(job: Job) -> dict[str, Any]:
    """Store a mask of every image, and write it as TIFF at the same time.

    The TIFF includes corrections; the stored mask is the prediction alone.

    Options: ``format`` "ome" or "generic", ``image_ids`` to predict some images only.
    """
    images = list(job.images())
    if not images:
        raise ProjectError(
            "The project has no images to predict.", "Add a slide or a folder."
        )
    tiles = tiles_of(job.store, images)
    prediction = _Prediction(job, images)
    layout = chosen_layout(job)
    paths = export_paths(job.store, images, layout)
    warn_about_bounds(job, images)
    doubts, made = np.zeros(len(tiles), np.float32), np.zeros(len(tiles), bool)
    left_out, written = LeftOut(job.writer, "predicted"), []
    with TileReader(images, cache_bytes=0) as reader:
        for image, path in zip(images, paths, strict=True):
            rows = tiles.image_ids == image.id
            with left_out.catching(image):
                doubts[rows] = prediction.predict(
                    image, tiles.take(rows), reader, path, layout
                )
                made |= rows
                written.append(str(path))
    prediction.finish()
    results = {"files": written, **left_out.results(len(written))}
    names = np.array(job.class_names)
    save_tiles(
        job.run,
        {"tile_ids": tiles.ids[made], "doubt": doubts[made], "class_names": names},
    )
    return results


class _Prediction:
    """The segmenter, with the progress over all images."""

    def __init__(self, job: Job, images: list[ImageRecord]) -> None:
        self._job = job
        self._settings = job.config.predict
        machine = job.config.machine
        self._device = prepare_device(machine)
        self._precision = resolve_precision(machine.precision, self._device)
        checkpoint = load_input(job, "train-segmenter", "segmenter")
        self._segmenter = load_segmenter(checkpoint).to(self._device)
        self._total = sum(
            count_windows(
                image.working_shape,
                self._settings.window_px,
                self._settings.overlap_px,
            )
            for image in images
        )
        self._done = 0
        job.writer.emit(
            StageStarted(
                stage=job.request.stage,
                total_steps=self._total,
                device=str(self._device),
            )
        )

    def predict(
        self,
        image: ImageRecord,
        tiles: TileTable,
        reader: TileReader,
        path: Path,
        layout: Layout,
    ) -> npt.NDArray[np.float32]:
        """Predict an image into mask and TIFF; return its doubt per tile, (n,)."""
        boxes = np.array(
            [(b.y, b.x, b.height, b.width) for b in working_boxes(tiles, [image])],
            np.int64,
        ).reshape(-1, 4)
        doubts = TileDoubts(boxes)
        try:
            write_label_tiff(
                path,
                self._bands(image, boxes, reader, doubts),
                shape=image.working_shape,
                info=label_info(self._job.store, image),
                layout=layout,
            )
        except SegmixError:
            # A partial mask would later be exported as if it were complete.
            remove_mask(self._job.run, image.id)
            raise
        return doubts.result()

    def finish(self) -> None:
        """Report that all windows are done."""
        self._job.writer.progress(self._total, self._total)

    def _bands(
        self,
        image: ImageRecord,
        boxes: Boxes,
        reader: TileReader,
        doubts: TileDoubts,
    ) -> Iterator[tuple[Box, LabelArray]]:
        settings = self._settings
        mask = create_mask(self._job.run, image.id, image.working_shape)
        for band in predict_image(
            self._segmenter,
            lambda box: reader.read_pixels(image.id, box.scaled(image.downsample)),
            image.working_shape,
            window_px=settings.window_px,
            overlap_px=settings.overlap_px,
            flips=settings.flips,
            batch_size=settings.batch_size,
            device=self._device,
            precision=self._precision,
            skip=self._counting(image, _outside(boxes)),
        ):
            mask[band.box.slices] = band.labels
            doubts.add(band.box, band.confidence)
            # The file has the name of an export, so it must not lose corrections.
            yield (
                band.box,
                corrected(self._job.store, image, band.box, band.labels),
            )

    def _counting(
        self, image: ImageRecord, skip: Callable[[Box], bool]
    ) -> Callable[[Box], bool]:
        """Called once per window, so this is where to count and stop."""

        def ask(window: Box) -> bool:
            if self._job.writer.should_stop():
                raise Stopped
            self._job.writer.progress(self._done, self._total, image.path.name)
            self._done += 1
            return skip(window)

        return ask


def _outside(boxes: Boxes) -> Callable[[Box], bool]:
    """Return a test for windows without tiles, which contain only glass."""

    def is_outside(window: Box) -> bool:
        y, x, height, width = boxes.T
        touches = (y < window.bottom) & (x < window.right)
        touches &= (y + height > window.y) & (x + width > window.x)
        return not touches.any()

    return is_outside
