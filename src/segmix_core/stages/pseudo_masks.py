"""Make pseudo masks from the maps of a "cams" run and the current labels."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from segmix_core.data.project_tiles import tiles_of
from segmix_core.data.samples import TileSamples
from segmix_core.data.tile_reader import TileReader
from segmix_core.data.unreadable_tiles import UnreadableTiles
from segmix_core.errors import SlideError
from segmix_core.events import StageStarted
from segmix_core.geometry import Box
from segmix_core.inference.mask_rules import rules_of, warn_of_little_glass
from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.project.records import ImageRecord
from segmix_core.runs.results import create_mask, save_tiles
from segmix_core.stages.job import Job
from segmix_core.stages.stored_maps import ImageMaps, StoredMaps
from segmix_core.stages.val_fit import Fit, fit_on_val


def make_pseudo_masks(job: Job) -> dict[str, Any]:
    """Store a mask per image and the uncertainty of every tile.

    Skips unreadable tiles with a warning.

    Raises
    ------
    JobError
        If the maps do not match the current tiles or classes, or if too many tiles
        cannot be read.
    """
    maps = StoredMaps(job.input_run("cams"))
    maps.check_classes(job)
    known = maps.image_ids(job)
    images = [image for image in job.images() if image.id in known]
    tiles = tiles_of(job.store, images)
    tiles = tiles.take(np.isin(tiles.ids, maps.tile_ids))
    settings = job.config.pseudo_masks
    doubt = np.full(len(tiles), np.nan, np.float32)
    lost = UnreadableTiles(len(tiles))
    job.writer.emit(StageStarted(stage=job.request.stage, total_steps=len(tiles)))
    fit = fit_on_val(job, maps) if settings.fit else Fit()
    done = 0
    with TileReader(images, cache_bytes=0) as reader:
        warn_of_little_glass(settings, TileSamples(tiles, reader), job.writer.emit)
        for image in images:
            rows = np.flatnonzero(tiles.image_ids == image.id)
            rules = fit.applied_to(rules_of(settings, image.working_mpp))
            evidence = ImageMaps(image, tiles.take(rows), maps, reader)
            masks = _image_masks(job, image, evidence, rules, lost)
            for row, value in zip(rows, masks, strict=True):
                doubt[row] = value
                done += 1
                job.writer.progress(done, len(tiles), image.path.name)
                if job.writer.should_stop():
                    return {}
    made = ~np.isnan(doubt)
    ids, doubt, names = tiles.ids[made], doubt[made], np.array(job.class_names)
    save_tiles(job.run, {"tile_ids": ids, "doubt": doubt, "class_names": names})
    return {
        "tiles": len(ids),
        "unreadable": len(lost),
        "mean_doubt": float(doubt.mean()),
        **fit.results,
    }


def _image_masks(
    job: Job,
    image: ImageRecord,
    maps: ImageMaps,
    rules: PseudoMaskRules,
    lost: UnreadableTiles,
) -> Iterator[float]:
    """Write the mask of an image tile by tile; yield each uncertainty, or NaN."""
    target = None
    inside = Box(0, 0, *image.working_shape)
    for row, box in enumerate(maps.boxes):
        try:
            evidence = maps.evidence(row, with_pixels=rules.needs_rgb)
        except SlideError as error:
            job.writer.emit(lost.add(maps.name(row), error))
            yield math.nan
            continue
        mask, doubt = evidence.mask(rules)
        if target is None:
            target = create_mask(job.run, image.id, image.working_shape)
        part = box.intersect(inside)
        target[part.slices] = mask[part.slices_in(box)]
        yield doubt
