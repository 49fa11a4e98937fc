"""The shuffled view of a batch: its loss and its preview."""

import numpy as np
import torch
from torch import Tensor

from segmix_core.curriculum.level import ShuffleLevel, ShuffleScope
from segmix_core.curriculum.shuffle import Shuffled
from segmix_core.models.backbone import keep_statistics
from segmix_core.models.cam_classifier import CamClassifier, ClassifierOutput
from segmix_core.training.losses import classification_loss
from segmix_core.training.task import PreviewArrays

_PREVIEW_TILES = 16


def shuffled_loss(module: CamClassifier, mixed: Shuffled) -> Tensor:
    """Return the classification loss of shuffled tiles, a scalar."""
    # Seams are not tissue: inference must not inherit their statistics.
    with keep_statistics(module):
        output: ClassifierOutput = module(mixed.images)
    return classification_loss(output.logits, mixed.labels)


def show_shuffled(
    mixed: Shuffled, tile_ids: Tensor, level: ShuffleLevel, scope: ShuffleScope
) -> PreviewArrays:
    """Return the first shuffled tiles; see :mod:`segmix_core.runs.previews`."""
    # Whole groups only: a source must be among the tiles that are shown.
    size = scope.tiles(len(tile_ids))
    count = min(len(tile_ids), max(size, _PREVIEW_TILES // size * size))
    images = (255 * mixed.images[:count]).round().to(torch.uint8)
    return {
        "images": images.permute(0, 2, 3, 1).contiguous().cpu().numpy(),
        "tile_ids": tile_ids[:count].cpu().numpy(),
        "sources": mixed.origins.sources[:count].cpu().numpy(),
        "positions": mixed.origins.positions[:count].cpu().numpy(),
        "patch_size": np.asarray(level.patch_size),
        "shuffle_ratio": np.asarray(level.shuffle_ratio),
    }
