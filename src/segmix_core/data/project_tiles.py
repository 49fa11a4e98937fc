"""Tiles of a project: which ones, where they lie, and how large batches of them are."""

from collections.abc import Sequence

import numpy as np

from segmix_core.curriculum.patch_sizes import TILE_STEP
from segmix_core.errors import ProjectError
from segmix_core.geometry import Box, next_multiple
from segmix_core.project.reader import ProjectReader
from segmix_core.project.records import TRAIN_SPLIT, ImageRecord, LabelState, TileTable


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


def labeled_tiles(store: ProjectReader, split: str = TRAIN_SPLIT) -> TileTable:
    """Return the labeled tiles of the images of a split."""
    tiles = store.tiles()
    images = [image.id for image in store.images() if image.split == split]
    is_labeled = (tiles.labels != LabelState.UNKNOWN).any(axis=1)
    return tiles.take(is_labeled & np.isin(tiles.image_ids, images))


def tiles_of(store: ProjectReader, images: Sequence[ImageRecord]) -> TileTable:
    """Return the tiles of some images, labeled or not.

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
