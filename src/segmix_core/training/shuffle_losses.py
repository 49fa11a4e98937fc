"""Loss terms of SegMix+: what is known of the patches of shuffled tiles.

Our own additions to SegMix. Both take the maps of shuffled tiles and, by the source of
each patch, compare them with what its tile tells. A cell beside a seam takes no part:
half of what it sees is another tile.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def cells_off_seams(sources: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the tile of each cell of a map, and whether no seam touches the cell.

    Parameters
    ----------
    sources
        (B, rows, cols) int64: tile of each patch.
    shape
        (h, w) of the map, multiples of rows and cols.

    Returns
    -------
    tiles
        (B, h, w) int64.
    is_inside
        (B, h, w) bool: all eight neighbours inside the map are of the same tile.

    Raises
    ------
    ValueError
        If a seam would run through a cell.
    """
    rows, cols = sources.shape[1:]
    height, width = shape
    if height % rows or width % cols:
        raise ValueError(
            f"Expected a map that {rows} x {cols} patches divide, got {height} x "
            f"{width}"
        )
    tiles = sources.repeat_interleave(height // rows, dim=1)
    tiles = tiles.repeat_interleave(width // cols, dim=2)
    numbers = tiles[:, None].float()
    # Max pooling fills up with minus infinity: the edge of the map is no seam.
    largest = F.max_pool2d(numbers, 3, stride=1, padding=1)
    smallest = -F.max_pool2d(-numbers, 3, stride=1, padding=1)
    return tiles, (largest == smallest)[:, 0]


def unshuffle_loss(
    shuffled: Tensor, original: Tensor, sources: Tensor, labels: Tensor
) -> Tensor:
    """Return how far the maps of shuffled tiles are from those of their sources.

    Parameters
    ----------
    shuffled
        (B, C, h, w), raw scores of the shuffled tiles.
    original
        (B, C, h, w), raw scores of the tiles before; without gradient.
    sources
        (B, rows, cols) int64: tile of each patch.
    labels
        (B, C) of the tiles before: 1 present, 0 absent, -1 unknown.

    Returns
    -------
    Tensor
        Scalar in [0, 1]: mean absolute difference of the probabilities over the cells
        off seams and the classes present in the cell's source; 0 if there are none.
    """
    tiles, is_inside = cells_off_seams(sources, _shape(shuffled))
    wanted = _gather(original.detach().float().sigmoid(), tiles)
    difference = (shuffled.float().sigmoid() - wanted).abs()
    present = (labels > 0)[tiles].permute(0, 3, 1, 2)  # (B, C, h, w)
    counted = (present & is_inside[:, None]).float()
    return (difference * counted).sum() / counted.sum().clamp(min=1)


def known_label_loss(shuffled: Tensor, sources: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy of cells whose source has exactly one label.

    The classes weigh the same however many cells each has: with most tiles of one
    class, plain means teach to call everything that class.

    Parameters
    ----------
    shuffled
        (B, C, h, w), raw scores of the shuffled tiles.
    sources
        (B, rows, cols) int64: tile of each patch.
    labels
        (B, C) of the tiles before: 1 present, 0 absent, -1 unknown. A tile counts if
        one class is present and all others are absent.

    Returns
    -------
    Tensor
        Scalar >= 0: mean over the classes that have cells off seams of the mean of
        -log softmax over their cells; 0 if there are none.
    """
    tiles, is_inside = cells_off_seams(sources, _shape(shuffled))
    is_pure = ((labels > 0).sum(dim=1) == 1) & (labels >= 0).all(dim=1)  # (B,)
    classes = labels.argmax(dim=1)[tiles]  # (B, h, w)
    counted = (is_pure[tiles] & is_inside).float()
    entropy = F.cross_entropy(shuffled.float(), classes, reduction="none")
    by_class = F.one_hot(classes, labels.shape[1]) * counted[..., None]
    cells = by_class.sum(dim=(0, 1, 2))  # (C,)
    sums = (by_class * entropy[..., None]).sum(dim=(0, 1, 2))
    means = sums / cells.clamp(min=1)
    return means.sum() / (cells > 0).sum().clamp(min=1)


def _shape(maps: Tensor) -> tuple[int, int]:
    return maps.shape[-2], maps.shape[-1]


def _gather(maps: Tensor, tiles: Tensor) -> Tensor:
    """Return (B, C, h, w): each cell of the map of its tile."""
    height, width = _shape(maps)
    row = torch.arange(height, device=maps.device)[:, None]
    col = torch.arange(width, device=maps.device)
    return maps.permute(0, 2, 3, 1)[tiles, row, col].permute(0, 3, 1, 2)
