"""Pseudo masks from the maps of a "cams" run and the labels as they are now."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from segmix_core.data.tile_reader import TileReader
from segmix_core.errors import JobError
from segmix_core.events import StageStarted
from segmix_core.geometry import Box
from segmix_core.inference.cam_canvas import CamCanvas
from segmix_core.inference.pseudo_masks import make_pseudo_mask
from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.inference.small_regions import area_in_pixels
from segmix_core.project.records import ImageRecord, TileTable
from segmix_core.runs.results import create_mask, load_tiles, open_cams, save_tiles
from segmix_core.sections.pseudo_masks import PseudoMaskConfig
from segmix_core.stages.job import Job, tiles_of, working_boxes


def make_pseudo_masks(job: Job) -> dict[str, Any]:
    """Store a mask per image and the doubt of every tile.

    Raises
    ------
    JobError
        If the maps are of other tiles or classes than the project has now.
    """
    base = job.input_run("cams")
    columns = load_tiles(base)
    maps = _Maps(open_cams(base), columns)
    maps.check_classes(job)
    known = maps.image_ids(job)
    images = [image for image in job.images() if image.id in known]
    tiles = tiles_of(job.store, images)
    tiles = tiles.take(np.isin(tiles.ids, columns["tile_ids"]))
    settings = job.config.pseudo_masks
    doubt = np.zeros(len(tiles), np.float32)
    job.writer.emit(StageStarted(stage="pseudo-masks", total_steps=len(tiles)))
    done = 0
    with TileReader(images, cache_bytes=0) as reader:
        for image in images:
            rows = np.flatnonzero(tiles.image_ids == image.id)
            part = tiles.take(rows)
            rules = rules_of(settings, image.working_mpp)
            masks = _image_masks(job, image, part, maps, rules, reader)
            for row, value in zip(rows, masks, strict=True):
                doubt[row] = value
                done += 1
                job.writer.progress(done, len(tiles), image.path.name)
                if job.writer.should_stop():
                    return {}
    save_tiles(job.run, {"tile_ids": tiles.ids, "doubt": doubt})
    return {"tiles": len(tiles), "mean_doubt": float(doubt.mean())}


def rules_of(settings: PseudoMaskConfig, mpp: float | None) -> PseudoMaskRules:
    """Return the settings as the plain values that the core function takes.

    ``mpp``: µm per working pixel of the image, None if unknown. Areas in µm² become
    pixels; where they are not set or ``mpp`` is None, the settings in pixels count.
    """
    values = settings.model_dump()
    for region in ("object", "hole"):
        um2, px = values.pop(f"min_{region}_um2"), values[f"min_{region}_px"]
        values[f"min_{region}_px"] = area_in_pixels(um2, px, mpp)
    return PseudoMaskRules(**values)


class _Maps:
    """The maps of a run by tile id, as they were before they became bytes."""

    def __init__(self, cams: Any, columns: dict[str, npt.NDArray[Any]]) -> None:
        self._cams = cams
        self._columns = columns
        self._rows = {int(tile): row for row, tile in enumerate(columns["tile_ids"])}
        self._chunk: tuple[int, npt.NDArray[np.uint8]] = (-1, np.empty(0, np.uint8))

    @property
    def stride(self) -> int:
        """Working pixels per cell of a map."""
        return int(self._columns["stride"])

    def check_classes(self, job: Job) -> None:
        found, wanted = self._cams.shape[1], len(job.class_names)
        if found != wanted:
            raise JobError(
                f"maps of {wanted} classes",
                f"maps of {found}",
                "The project's classes have changed since; run 'segmix train' and "
                "'segmix cams' again.",
            )

    def image_ids(self, job: Job) -> set[int]:
        tiles = job.store.tiles()
        found = tiles.image_ids[np.isin(tiles.ids, self._columns["tile_ids"])]
        if found.size == 0:
            raise JobError(
                "maps of the project's tiles",
                "maps of tiles that are gone",
                "Run 'segmix cams' again.",
            )
        return {int(image_id) for image_id in found}

    def cam(self, tile_id: int) -> npt.NDArray[np.float32]:
        """Return (C, h, w) float32 >= 0 without padding."""
        row = self._rows[tile_id]
        height, width = self._columns["valid"][row]
        values = self._read(row)[:, :height, :width]
        # One scale a class, or of an older run one for all of them.
        scales = np.reshape(self._columns["scales"][row] / 255, (-1, 1, 1))
        return np.asarray(values * scales, dtype=np.float32)

    def probabilities(self, tile_id: int) -> npt.NDArray[np.float32]:
        """Return (C,) in 0..1."""
        return np.asarray(self._columns["probabilities"][self._rows[tile_id]])

    def _read(self, row: int) -> npt.NDArray[np.uint8]:
        # Decoding a chunk for each of its tiles would be hundreds of times the work.
        size = self._cams.chunks[0]
        number = row // size
        if self._chunk[0] != number:
            self._chunk = (number, self._cams[number * size : (number + 1) * size])
        chunk: npt.NDArray[np.uint8] = self._chunk[1][row - number * size]
        return chunk


def _image_masks(
    job: Job,
    image: ImageRecord,
    tiles: TileTable,
    maps: _Maps,
    rules: PseudoMaskRules,
    reader: TileReader,
) -> Iterator[float]:
    """Write the mask of an image tile by tile; yield the doubt of each."""
    boxes = working_boxes(tiles, [image])
    target = create_mask(job.run, image.id, image.working_shape)
    inside = Box(0, 0, *image.working_shape)
    canvas = _canvas(image, boxes, tiles, maps)
    for row, box in enumerate(boxes):
        tile_id = int(tiles.ids[row])
        cam = maps.cam(tile_id) if canvas is None else canvas.read(box)
        rgb = None
        if rules.needs_rgb:
            rgb = reader.read_pixels(image.id, tiles.box(row))
        mask, doubt = make_pseudo_mask(
            cam,
            (box.height, box.width),
            tiles.labels[row],
            maps.probabilities(tile_id),
            rgb,
            rules=rules,
            stride=maps.stride,
        )
        part = box.intersect(inside)
        target[part.slices] = mask[part.moved(-box.y, -box.x).slices]
        yield doubt


def _canvas(
    image: ImageRecord, boxes: list[Box], tiles: TileTable, maps: _Maps
) -> CamCanvas | None:
    """Return the blended maps of an image whose tiles overlap, else None."""
    if not _overlap(boxes):
        return None
    height, width = image.working_shape
    bottom = max(height, *(box.bottom for box in boxes))
    right = max(width, *(box.right for box in boxes))
    classes = tiles.labels.shape[1]
    canvas = CamCanvas(Box(0, 0, bottom, right), classes, maps.stride)
    for row, box in enumerate(boxes):
        canvas.add(maps.cam(int(tiles.ids[row])), box, tiles.labels[row])
    return canvas


def _overlap(boxes: list[Box]) -> bool:
    # Tiles of a grid overlap if any does with its next neighbour in reading order.
    ordered = sorted(boxes)
    sideways = any(a.intersect(b).area for a, b in pairwise(ordered))
    upright = sorted(boxes, key=lambda box: (box.x, box.y))
    return sideways or any(a.intersect(b).area for a, b in pairwise(upright))
