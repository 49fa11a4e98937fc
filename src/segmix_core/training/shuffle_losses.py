"""Loss terms of SegMix+: what is known of the patches of shuffled tiles.

Our own additions to SegMix. The maps of shuffled tiles are put back into the tiles
their patches come from, and compared with what those tiles tell. A cell beside a seam
takes no part: half of what it sees is another tile.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from segmix_core.curriculum.origins import Origins
from segmix_core.curriculum.shuffle import unshuffle


def put_back(shuffled: Tensor, origins: Origins) -> tuple[Tensor, Tensor]:
    """Return the maps of shuffled tiles in the arrangement of the tiles before.

    Parameters
    ----------
    shuffled
        (B, C, h, w), raw scores of the shuffled tiles.
    origins
        Of each patch, (B, rows, cols).

    Returns
    -------
    maps
        (B, C, h, w).
    is_inside
        (B, h, w) bool: no seam touched the cell in the shuffled tile.

    Raises
    ------
    ValueError
        If a seam would run through a cell.
    """
    shape = shuffled.shape[-2], shuffled.shape[-1]
    is_inside = cells_off_seams(origins, shape)[:, None]
    return unshuffle(shuffled, origins), unshuffle(is_inside, origins)[:, 0]


def cells_off_seams(origins: Origins, shape: tuple[int, int]) -> Tensor:
    """Return whether no seam touches a cell of a map.

    Parameters
    ----------
    origins
        Of each patch, (B, rows, cols).
    shape
        (h, w) of the map, multiples of rows and cols.

    Returns
    -------
    Tensor
        (B, h, w) bool: all eight neighbours inside the map are of the same tile, and
        were the cell's neighbours there.

    Raises
    ------
    ValueError
        If a seam would run through a cell.
    """
    sources, positions = origins
    rows, cols = sources.shape[1:]
    height, width = shape
    if height % rows or width % cols:
        raise ValueError(
            f"Expected a map that {rows} x {cols} patches divide, got {height} x "
            f"{width}"
        )
    # Patches that moved together lie as they did before: no seam between them.
    down = positions // cols - torch.arange(rows, device=sources.device)[:, None]
    right = positions % cols - torch.arange(cols, device=sources.device)
    numbers = torch.stack([sources, down, right], dim=1).float()
    numbers = numbers.repeat_interleave(height // rows, dim=2)
    numbers = numbers.repeat_interleave(width // cols, dim=3)
    # Max pooling fills up with minus infinity: the edge of the map is no seam.
    largest = F.max_pool2d(numbers, 3, stride=1, padding=1)
    smallest = -F.max_pool2d(-numbers, 3, stride=1, padding=1)
    return (largest == smallest).all(dim=1)


def unshuffle_loss(
    restored: Tensor, original: Tensor, is_inside: Tensor, labels: Tensor
) -> Tensor:
    """Return how far the maps of shuffled tiles are from those of the tiles before.

    Parameters
    ----------
    restored, is_inside
        (B, C, h, w) raw scores and (B, h, w) bool, from :func:`put_back`.
    original
        (B, C, h, w), raw scores of the tiles before; without gradient.
    labels
        (B, C) of the tiles before: 1 present, 0 absent, -1 unknown.

    Returns
    -------
    Tensor
        Scalar in [0, 1]: mean absolute difference of the probabilities over the cells
        off seams and the classes present in the cell's tile; 0 if there are none.
    """
    wanted = original.detach().float().sigmoid()
    difference = (restored.float().sigmoid() - wanted).abs()
    counted = ((labels > 0)[:, :, None, None] & is_inside[:, None]).float()
    return (difference * counted).sum() / counted.sum().clamp(min=1)


def known_label_loss(restored: Tensor, is_inside: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy of cells whose tile has exactly one label.

    The classes weigh the same however many cells each has: with most tiles of one
    class, plain means teach to call everything that class.

    Parameters
    ----------
    restored, is_inside
        (B, C, h, w) raw scores and (B, h, w) bool, from :func:`put_back`.
    labels
        (B, C) of the tiles before: 1 present, 0 absent, -1 unknown. A tile counts if
        one class is present and all others are absent.

    Returns
    -------
    Tensor
        Scalar >= 0: mean over the classes that have cells off seams of the mean of
        -log softmax over their cells; 0 if there are none.
    """
    is_pure = ((labels > 0).sum(dim=1) == 1) & (labels >= 0).all(dim=1)  # (B,)
    classes = labels.argmax(dim=1)[:, None, None].expand_as(is_inside)  # (B, h, w)
    counted = (is_pure[:, None, None] & is_inside).float()
    entropy = F.cross_entropy(restored.float(), classes, reduction="none")
    by_class = F.one_hot(classes, labels.shape[1]) * counted[..., None]
    cells = by_class.sum(dim=(0, 1, 2))  # (C,)
    sums = (by_class * entropy[..., None]).sum(dim=(0, 1, 2))
    means = sums / cells.clamp(min=1)
    return means.sum() / (cells > 0).sum().clamp(min=1)
