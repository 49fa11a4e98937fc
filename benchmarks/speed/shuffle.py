"""The shuffle with its labels, against the CellMix package on the same tensors."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed.comparison import Table, in_turns, milliseconds, ratio
from segmix_core.curriculum.shuffle import shuffle_batch

CLASSES = 4
TURNS = {(16, 224): 31, (64, 224): 7, (16, 512): 7, (64, 512): 3}
"""More for small batches, which other work on the machine disturbs more."""
BATCHES = tuple(TURNS)
PATCHES = {224: (16, 32, 56, 112), 512: (16, 32, 64, 128)}
"""By edge: those that divide it, from 16 to 112 pixels or what is next to it."""


def tables() -> list[Table]:
    """Return the table, or none where the peer is not installed."""
    if find_spec("CellMix") is None:
        print("The shuffle is not measured: the package CellMix is not installed.")
        return []
    rows = [
        _row(count, edge, group_size, patch)
        for count, edge in BATCHES
        for group_size in (2, 4, count)
        for patch in PATCHES[edge]
    ]
    text = (
        "`shuffle_batch` with area labels and provenance against `CellMix` (in-place, "
        "ratio 0.5) on the same float32 batch. Target: 6 times as fast for pairs, 4 "
        "times for other groups."
    )
    header = ("batch", "group", "patch", "ours, ms", "CellMix, ms", "times as fast")
    return [Table("Shuffle", text, header, rows)]


def _row(count: int, edge: int, group_size: int, patch: int) -> tuple[str, ...]:
    images = torch.rand(count, 3, edge, edge)
    seconds = in_turns(ways(images, group_size, patch), TURNS[count, edge])
    return (
        f"{count} x 3 x {edge} x {edge}",
        "whole batch" if group_size == count else str(group_size),
        str(patch),
        milliseconds(seconds["ours"]),
        milliseconds(seconds["CellMix"]),
        ratio(seconds["CellMix"], seconds["ours"]),
    )


def classes_of(images: Tensor) -> Tensor:
    """Return the class of each image, (B,)."""
    return torch.arange(len(images)) % CLASSES


def ways(
    images: Tensor, group_size: int, patch: int
) -> dict[str, Callable[[], tuple[Tensor, Tensor]]]:
    """Return what is compared; each gives mixed images and their labels (B, K)."""
    from CellMix import get_online_augmentation

    classes = classes_of(images)
    labels = torch.eye(CLASSES)[classes]
    peer: Any = get_online_augmentation(
        "CellMix",
        p=1.0,
        class_num=CLASSES,
        batch_size=len(images),
        edge_size=images.shape[-1],
        group_shuffle_size=group_size,
    )

    def ours() -> tuple[Tensor, Tensor]:
        shuffled = shuffle_batch(
            images, labels, patch_size=patch, ratio=0.5, group_size=group_size
        )
        return shuffled.images, shuffled.labels

    def theirs() -> tuple[Tensor, Tensor]:
        mixed, soft, _ = peer(
            images, classes, fix_position_ratio=0.5, puzzle_patch_size=patch
        )
        return mixed, soft

    return {"ours": ours, "CellMix": theirs}
