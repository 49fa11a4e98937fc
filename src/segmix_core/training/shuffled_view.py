"""The shuffled view of a batch: its loss terms and its preview."""

import numpy as np
import torch
from torch import Tensor

from segmix_core.curriculum.level import ShuffleLevel, ShuffleScope
from segmix_core.curriculum.shuffle import Shuffled
from segmix_core.models.backbone import keep_statistics
from segmix_core.models.cam_classifier import CamClassifier, ClassifierOutput
from segmix_core.training.loss_weights import LossWeights
from segmix_core.training.losses import classification_loss
from segmix_core.training.shuffle_losses import (
    known_label_loss,
    put_back,
    unshuffle_loss,
)
from segmix_core.training.task import PreviewArrays

_PREVIEW_TILES = 16


def shuffled_terms(
    module: CamClassifier,
    mixed: Shuffled,
    original: ClassifierOutput,
    labels: Tensor,
    weights: LossWeights,
) -> dict[str, Tensor]:
    """Return the loss terms of shuffled tiles by name, not weighed.

    Parameters
    ----------
    module
        Sees the shuffled tiles.
    mixed
        The shuffled tiles.
    original
        What it said about the tiles before.
    labels
        (B, C) of the tiles before: 1 present, 0 absent, -1 unknown.
    weights
        Terms of SegMix+ without weight are left out.
    """
    # Seams are not tissue: inference must not inherit their statistics.
    with keep_statistics(module):
        output: ClassifierOutput = module(mixed.images)
    terms = {"shuffled": classification_loss(output.logits, mixed.labels)}
    if weights.unshuffle > 0 or weights.pixel > 0:
        cells = put_back(output.cam, mixed.origins)
    if weights.unshuffle > 0:
        restored, is_inside = cells
        terms["unshuffle"] = unshuffle_loss(restored, original.cam, is_inside, labels)
    if weights.pixel > 0:
        terms["pixel"] = known_label_loss(*cells, labels)
    return terms


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
