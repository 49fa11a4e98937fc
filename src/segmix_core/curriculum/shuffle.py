"""The shuffle: tiles of a group exchange patches, in place or anywhere.

After CellMix (arXiv 2301.11513, sec. 3.1) with two additions: where each patch came
from is returned, and ``exact`` moves every patch that takes part. CellMix' names:
groups in place are "Group" and "Split" (the whole batch), the others "Random", of which
groups of one tile are "Self".
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from segmix_core.curriculum.level import PAIRS, ShuffleLevel, ShuffleScope
from segmix_core.curriculum.mixed_labels import AREA, LabelRule, mix_labels
from segmix_core.curriculum.origins import Origins, draw_origins


@dataclass(frozen=True, slots=True)
class Shuffled:
    """A batch after the shuffle.

    Attributes
    ----------
    images
        (B, C, H, W), of the type that went in.
    labels
        (B, K), float, in [0, 1], or -1 where open; see
        :func:`segmix_core.curriculum.mixed_labels.mix_labels`.
    present
        (B, K), bool: some patch comes from a tile with the class.
    origins
        Of each patch, (B, rows, cols).
    """

    images: Tensor
    labels: Tensor
    present: Tensor
    origins: Origins


def shuffle_batch(
    images: Tensor,
    labels: Tensor,
    level: ShuffleLevel,
    scope: ShuffleScope = PAIRS,
    *,
    label_rule: LabelRule = AREA,
    generator: torch.Generator | None = None,
) -> Shuffled:
    """Exchange patches between the tiles of each group, position by position.

    Consecutive tiles form a group, which draws the positions that take part; tiles left
    over at the end of the batch stay as they are.

    Parameters
    ----------
    images
        (B, C, H, W), any type and device.
    labels
        (B, K), 1 present, 0 absent, -1 unknown.
    level
        Patch size, which must divide H and W, and share of positions that take part,
        rounded to a whole number of them, and at least one if it is above zero: four
        patches a tile could not take part in a tenth otherwise.
    scope
        Groups, and where patches may move.
    label_rule
        What the labels of shuffled tiles say.
    generator
        Source of randomness, on any device.

    Raises
    ------
    ValueError
        If the patch size does not divide the tile, or a shape does not fit.

    Examples
    --------
    >>> images = torch.arange(2.0).view(2, 1, 1, 1).expand(2, 1, 4, 4)
    >>> labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> mixed = shuffle_batch(images, labels, ShuffleLevel(2, 0.5))
    >>> mixed.labels
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    origins = draw_origins(
        len(images),
        _grid(images, labels, level.patch_size),
        level.shuffle_ratio,
        scope,
        generator,
    )
    origins = Origins(*(part.to(images.device) for part in origins))
    mixed, present = mix_labels(labels, origins.sources, label_rule)
    return Shuffled(_gather_patches(images, origins), mixed, present, origins)


def _grid(images: Tensor, labels: Tensor, patch_size: int) -> tuple[int, int]:
    if images.ndim != 4 or labels.ndim != 2 or len(images) != len(labels):
        raise ValueError(
            "Expected images (B, C, H, W) and labels (B, K), "
            f"got {tuple(images.shape)} and {tuple(labels.shape)}"
        )
    height, width = images.shape[-2:]
    if height % patch_size or width % patch_size:
        raise ValueError(
            f"Expected a patch size that divides {height} x {width}, got {patch_size}"
        )
    return height // patch_size, width // patch_size


def _gather_patches(images: Tensor, origins: Origins) -> Tensor:
    """Return images of patches of ``images``, each from where ``origins`` says.

    A patch is moved as the runs of pixels that lie side by side in memory: copying runs
    costs little more than copying the batch, which picking out single pixels does not.
    """
    channels_last = not images.is_contiguous() and images.is_contiguous(
        memory_format=torch.channels_last
    )
    layers = images.permute(0, 2, 3, 1)[:, None] if channels_last else images
    depth, height, width = layers.shape[1:4]
    sources, positions = origins
    rows, cols = sources.shape[1:]
    tall, device = height // rows, sources.device
    # In memory a tile has depth x height x cols runs. First run of each patch: (B,
    # rows, cols); from there to its others: (depth, tall).
    first = sources * (depth * height * cols)
    first = first + positions // cols * (tall * cols) + positions % cols
    others = torch.arange(depth, device=device)[:, None] * (height * cols)
    others = others + torch.arange(tall, device=device) * cols
    runs = first[:, None, :, None, :] + others[:, None, :, None]
    length = math.prod(layers.shape[4:], start=width // cols)
    moved = layers.reshape(-1, length).index_select(0, runs.view(-1))
    moved = moved.view(layers.shape)
    return moved[:, 0].permute(0, 3, 1, 2) if channels_last else moved
