"""The shuffle with its labels, against the CellMix package on the same tensors."""

from importlib.util import find_spec

import torch

from benchmarks.comparison import Seconds, Table, in_turns, milliseconds, ratio
from segmix_core.curriculum.level import ShuffleLevel, ShuffleScope
from segmix_core.curriculum.shuffle import shuffle_batch

CLASSES = 4
TURNS = {(16, 224): 31, (64, 224): 7, (16, 512): 7}
"""More for small batches, which other work on the machine disturbs more."""
BATCHES = ((16, 224), (64, 224), (16, 512))
PATCHES = {224: (16, 32, 112), 512: (32, 128)}


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
        "ratio 0.5) on the same float32 batch. Wanted: 6 times as fast for pairs, 4 "
        "times for other groups."
    )
    header = ("batch", "group", "patch", "ours, ms", "CellMix, ms", "times as fast")
    return [Table("Shuffle", text, header, rows)]


def _row(count: int, edge: int, group_size: int, patch: int) -> tuple[str, ...]:
    seconds = _measure(count, edge, group_size, patch)
    return (
        f"{count} x 3 x {edge} x {edge}",
        "whole batch" if group_size == count else str(group_size),
        str(patch),
        milliseconds(seconds["ours"]),
        milliseconds(seconds["CellMix"]),
        ratio(seconds["CellMix"], seconds["ours"]),
    )


def _measure(count: int, edge: int, group_size: int, patch: int) -> dict[str, Seconds]:
    from CellMix import get_online_augmentation

    images = torch.rand(count, 3, edge, edge)
    classes = torch.arange(count) % CLASSES
    labels = torch.eye(CLASSES)[classes]
    peer = get_online_augmentation(
        "CellMix",
        p=1.0,
        class_num=CLASSES,
        batch_size=count,
        edge_size=edge,
        group_shuffle_size=group_size,
    )
    level, scope = ShuffleLevel(patch, 0.5), ShuffleScope(group_size)
    return in_turns(
        {
            "ours": lambda: shuffle_batch(images, labels, level, scope),
            "CellMix": lambda: peer(
                images, classes, fix_position_ratio=0.5, puzzle_patch_size=patch
            ),
        },
        TURNS[count, edge],
    )
