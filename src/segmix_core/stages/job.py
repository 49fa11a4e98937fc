"""What every stage is given. Loads no torch: not every stage needs it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmix_core.curriculum.patch_sizes import TILE_STEP
from segmix_core.data.samples import TileSamples
from segmix_core.data.tile_reader import TileReader
from segmix_core.errors import JobError, ProjectError
from segmix_core.geometry import Box, next_multiple
from segmix_core.project.records import ImageRecord, LabelState, TileTable
from segmix_core.project.store import ProjectStore
from segmix_core.runs.request import RunRequest
from segmix_core.runs.writer import RunWriter
from segmix_core.settings import RunSettings

TRAIN_SPLIT, VAL_SPLIT = "train", "val"


class Stopped(Exception):  # noqa: N818 - it is no error
    """The user asked the stage to stop, in the middle of something."""


@dataclass(frozen=True, slots=True)
class Job:
    """A stage at work: its project, settings, request, and whom it tells."""

    store: ProjectStore
    config: RunSettings
    request: RunRequest
    writer: RunWriter

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.writer.folder.path

    @property
    def class_names(self) -> list[str]:
        """Names of the classes 1..C."""
        return [tissue.name for tissue in self.store.classes()]

    def input_run(self, *stages: str) -> Path:
        """Return the folder of the run of one of ``stages`` that this one reads.

        Raises
        ------
        ValueError
            If the request names none: whoever launched the run has to.
        """
        for stage in stages:
            if stage in self.request.inputs:
                return self.request.inputs[stage]
        raise ValueError(f"The request names no run of {' or '.join(stages)}")

    def images(self) -> tuple[ImageRecord, ...]:
        """Return the images the request asks for: all, unless it names some.

        Raises
        ------
        JobError
            If the request names something else than images.
        """
        chosen = self.request.options.get("image_ids")
        if chosen is not None and not isinstance(chosen, list):
            raise JobError("The run has no valid list of images.", "Start a new run.")
        return tuple(
            image
            for image in self.store.images()
            if chosen is None or image.id in chosen
        )


def working_boxes(tiles: TileTable, images: Sequence[ImageRecord]) -> list[Box]:
    """Return the box of each tile on the working grid of its image."""
    scales = {image.id: 1 / image.downsample for image in images}
    return [
        tiles.box(row).scaled(scales[int(image_id)])
        for row, image_id in enumerate(tiles.image_ids)
    ]


def batch_edge(boxes: Sequence[Box]) -> int:
    """Return the edge of a batch that all tiles fit into, a multiple of 16 pixels."""
    longest = max(max(box.height, box.width) for box in boxes)
    return next_multiple(longest, TILE_STEP)


def labelled_tiles(store: ProjectStore, split: str = TRAIN_SPLIT) -> TileTable:
    """Return the labelled tiles of the images of a split."""
    tiles = store.tiles()
    images = [image.id for image in store.images() if image.split == split]
    is_labelled = (tiles.labels != LabelState.UNKNOWN).any(axis=1)
    return tiles.take(is_labelled & np.isin(tiles.image_ids, images))


def tiles_of(store: ProjectStore, images: Sequence[ImageRecord]) -> TileTable:
    """Return the tiles of some images, labelled or not.

    Raises
    ------
    ProjectError
        If there are none.
    """
    tiles = store.tiles()
    tiles = tiles.take(np.isin(tiles.image_ids, [image.id for image in images]))
    if len(tiles) == 0:
        raise ProjectError(
            "The project has no images with tiles.",
            "Add a slide or a folder of tiles first.",
        )
    return tiles


def samples_of(
    tiles: TileTable, images: Sequence[ImageRecord], reader: TileReader
) -> tuple[TileSamples, int]:
    """Return the tiles as samples, and the edge of their batches in pixels."""
    return TileSamples(tiles, reader), batch_edge(working_boxes(tiles, images))
