"""Masks as people have corrected them, as label TIFFs."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from segmix_core.errors import JobError
from segmix_core.export.label_info import LabelImageInfo
from segmix_core.export.label_strips import LabelArray
from segmix_core.export.label_tiff import Layout, write_label_tiff
from segmix_core.geometry import Box
from segmix_core.project.records import UNTOUCHED, ImageRecord
from segmix_core.project.store import ProjectStore
from segmix_core.runs.results import mask_ids, read_mask
from segmix_core.stages.classes import check_mask_classes
from segmix_core.stages.job import Job, Stopped

SUFFIXES: dict[Layout, str] = {"ome": ".ome.tif", "generic": ".tif"}
BAND_ROWS = 512


def export_masks(job: Job) -> dict[str, Any]:
    """Write the masks of a run with all corrections into the project's exports.

    Options: ``format`` "ome" or "generic", ``image_ids`` to export some images only.

    Raises
    ------
    JobError
        If the run has no mask of any of the images, or is of other classes.
    """
    base = job.input_run("predict", "pseudo-masks")
    layout: Layout = job.request.options.get("format", "ome")
    known = mask_ids(base)
    if known:
        check_mask_classes(job.store, base)
    images = [image for image in job.images() if image.id in known]
    if not images:
        raise JobError.unexpected(
            f"masks to export in {base.name}",
            "none of the chosen images",
            "Make pseudo masks or predict these images first.",
        )
    paths = export_paths(job.store, images, layout)
    written = []
    for number, (image, path) in enumerate(zip(images, paths, strict=True)):
        job.writer.progress(number, len(images), path.name)
        write_label_tiff(
            path,
            _stoppable(job, corrected_bands(job.store, base, image)),
            shape=image.working_shape,
            info=label_info(job.store, image),
            layout=layout,
        )
        written.append(str(path))
    job.writer.progress(len(written), len(images))
    return {"files": written}


def _stoppable(
    job: Job, bands: Iterator[tuple[Box, LabelArray]]
) -> Iterator[tuple[Box, LabelArray]]:
    for band in bands:
        if job.writer.should_stop():
            raise Stopped
        yield band


def corrected_bands(
    store: ProjectStore, base: Path, image: ImageRecord
) -> Iterator[tuple[Box, LabelArray]]:
    """Yield an image's mask in full rows, corrections over the masks of a run."""
    height, width = image.working_shape
    for y in range(0, height, BAND_ROWS):
        box = Box(y, 0, min(BAND_ROWS, height - y), width)
        yield box, corrected(store, image, box, read_mask(base, image.id, box))


def corrected(
    store: ProjectStore, image: ImageRecord, box: Box, labels: LabelArray
) -> LabelArray:
    """Return the labels (h, w) of ``box``, working pixels, as people corrected them."""
    changes = store.corrections(image.id, box)
    return np.where(changes == UNTOUCHED, labels, changes)


def label_info(store: ProjectStore, image: ImageRecord) -> LabelImageInfo:
    """Return what the label TIFF of an image says about itself."""
    return LabelImageInfo(
        classes=store.classes(),
        mpp=image.working_mpp,
        source=image.path.name,
        downsample=image.downsample,
    )


def export_paths(
    store: ProjectStore, images: list[ImageRecord], layout: Layout
) -> list[Path]:
    """Return a file below the project's exports for each image.

    Images of the project that share a name, in whatever case, get their id added,
    also when only one of them is exported: none may replace the other's file.
    """
    names = Counter(image.path.stem.casefold() for image in store.images())
    folder = store.exports_path
    return [
        folder / f"{_unique_name(image, names)}{SUFFIXES[layout]}" for image in images
    ]


def _unique_name(image: ImageRecord, names: Counter[str]) -> str:
    name = image.path.stem
    return name if names[name.casefold()] == 1 else f"{name}_{image.id}"
