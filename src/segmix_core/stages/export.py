"""Export corrected masks as label TIFFs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segmix_core.errors import JobError
from segmix_core.events import Warned
from segmix_core.export.label_info import LabelImageInfo
from segmix_core.export.label_strips import LabelArray
from segmix_core.export.label_tiff import Layout, write_label_tiff
from segmix_core.export.names import export_names
from segmix_core.files import printable
from segmix_core.geometry import Box
from segmix_core.project.records import IGNORE_INDEX, UNTOUCHED, ImageRecord
from segmix_core.project.store import ProjectStore
from segmix_core.runs.results import mask_ids, read_mask
from segmix_core.stages.classes import check_mask_classes
from segmix_core.stages.job import Job, Stopped
from segmix_core.stages.left_out import LeftOut

SUFFIXES: dict[Layout, str] = {"ome": ".ome.tif", "generic": ".tif"}
BAND_ROWS = 512


def export_masks(job: Job) -> dict[str, Any]:
    """Write the masks of a run, with all corrections, to the project's exports.

    Options: ``format`` "ome" or "generic", ``image_ids`` to export some images only,
    ``crop_to_bounds`` to crop to the scanner bounds of an image.

    Images with corrected pixels are exported even without a mask, or without any run;
    all other pixels are 255. The results list these files under "only_corrections", and
    images that cannot be exported under "failed".

    Raises
    ------
    JobError
        If there are neither masks nor corrections of the images, the run has other
        classes, or no file can be written.
    """
    base = _masks_run(job)
    known = set() if base is None else set(mask_ids(base))
    if base is not None and known:
        check_mask_classes(job.store, base)
    corrected_ids = job.store.corrected_images()
    images = [image for image in job.images() if image.id in known | corrected_ids]
    if not images:
        run = "The project" if base is None else f"The run {base.name}"
        raise JobError(
            f"{run} has no masks of the chosen images.",
            "Make pseudo masks or predict these images first.",
        )
    layout = chosen_layout(job)
    crop = job.request.options.get("crop_to_bounds") is True
    paths = export_paths(job.store, images, layout)
    if not crop:
        warn_about_bounds(job, images)
    unmasked = [image for image in images if image.id not in known]
    warn_about_missing_masks(job, unmasked)
    left_out = LeftOut(job.writer, "exported")
    written: dict[int, str] = {}
    for number, (image, path) in enumerate(zip(images, paths, strict=True)):
        job.writer.progress(number, len(images), path.name)
        frame = export_frame(image, crop=crop)
        with left_out.catching(image):
            write_label_tiff(
                path,
                _stoppable(job, corrected_bands(job.store, base, image, frame)),
                shape=(frame.height, frame.width),
                info=label_info(job.store, image, frame),
                layout=layout,
            )
            written[image.id] = str(path)
    job.writer.progress(len(images), len(images))
    alone = [written[image.id] for image in unmasked if image.id in written]
    return {
        "files": list(written.values()),
        **({"only_corrections": alone} if alone else {}),
        **left_out.results(len(written)),
    }


def _masks_run(job: Job) -> Path | None:
    """Return the run whose masks are exported, or None."""
    inputs = job.request.inputs
    return inputs.get("predict", inputs.get("pseudo-masks"))


def chosen_layout(job: Job) -> Layout:
    """Return the requested format of a run.

    Raises
    ------
    JobError
        If the format is unknown.
    """
    layout = job.request.options.get("format", "ome")
    for known in SUFFIXES:
        if layout == known:
            return known
    raise JobError(
        f"{printable(str(layout))!r} is not a valid format.", "Choose ome or generic."
    )


def export_frame(image: ImageRecord, *, crop: bool) -> Box:
    """Return the exported part of an image, in working pixels."""
    whole = Box(0, 0, *image.working_shape)
    if not crop or image.bounds is None:
        return whole
    frame = image.bounds.scaled(1 / image.downsample).intersect(whole)
    return frame if frame.area else whole


def warn_about_bounds(job: Job, images: Sequence[ImageRecord]) -> None:
    """Warn once about images of which QuPath shows only a part."""
    bounded = [image for image in images if image.bounds is not None]
    if not bounded:
        return
    image, bounds = bounded[0], bounded[0].bounds
    more = f" and of {len(bounded) - 1} more images" if len(bounded) > 1 else ""
    if bounds is not None:
        job.writer.emit(
            Warned(
                message="QuPath shows only the scanner bounds of "
                f"{printable(image.path.name)}{more}: {bounds.width} x "
                f"{bounds.height} of {image.width} x {image.height} pixels. Use "
                "'segmix export --crop-to-bounds' for masks of this area; its "
                "position is in each .classes.json."
            )
        )


def warn_about_missing_masks(job: Job, images: Sequence[ImageRecord]) -> None:
    """Warn once about images with corrections but no mask."""
    if not images:
        return
    name = printable(images[0].path.name)
    more = f" and {len(images) - 1} more images" if len(images) > 1 else ""
    job.writer.emit(
        Warned(
            message=f"No run has a mask of {name}{more}. Only corrected pixels are "
            "exported; all others are 255 (undecided)."
        )
    )


def _stoppable(
    job: Job, bands: Iterator[tuple[Box, LabelArray]]
) -> Iterator[tuple[Box, LabelArray]]:
    for band in bands:
        if job.writer.should_stop():
            raise Stopped
        yield band


def corrected_bands(
    store: ProjectStore, base: Path | None, image: ImageRecord, frame: Box
) -> Iterator[tuple[Box, LabelArray]]:
    """Yield a mask in full rows of ``frame``: corrections over the masks of a run.

    Without a mask or a run, all pixels that are not corrected are 255.
    """
    for y in range(0, frame.height, BAND_ROWS):
        rows = min(BAND_ROWS, frame.height - y)
        box = Box(frame.y + y, frame.x, rows, frame.width)
        if base is None:
            labels = np.full((box.height, box.width), IGNORE_INDEX, np.uint8)
        else:
            labels = read_mask(base, image.id, box)
        labels = corrected(store, image, box, labels)
        yield Box(y, 0, rows, frame.width), labels


def corrected(
    store: ProjectStore, image: ImageRecord, box: Box, labels: LabelArray
) -> LabelArray:
    """Return the corrected labels (h, w) of ``box``, in working pixels."""
    changes = store.corrections(image.id, box)
    return np.where(changes == UNTOUCHED, labels, changes)


def label_info(
    store: ProjectStore, image: ImageRecord, frame: Box | None = None
) -> LabelImageInfo:
    """Return the metadata of the label TIFF of an image or a part of it."""
    scale, first = image.downsample, frame or Box(0, 0, 0, 0)
    return LabelImageInfo(
        classes=store.classes(),
        mpp_y=None if image.mpp_y is None else image.mpp_y * scale,
        mpp_x=None if image.mpp_x is None else image.mpp_x * scale,
        source=image.path.name,
        downsample=scale,
        origin=(round(first.y * scale), round(first.x * scale)),
        bounds=image.bounds,
    )


def export_paths(
    store: ProjectStore, images: Sequence[ImageRecord], layout: Layout
) -> list[Path]:
    """Return the export path of each image.

    Named by :mod:`segmix_core.export.names`, whichever images are exported.
    """
    names = export_names((image.id, image.path.name) for image in store.images())
    folder = store.exports_path
    return [folder / f"{names[image.id]}{SUFFIXES[layout]}" for image in images]
