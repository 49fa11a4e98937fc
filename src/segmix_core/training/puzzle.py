"""Puzzle-CAM (Jo and Yu, ICIP 2021): the maps of a tile and its quarters agree."""

import torch
from torch import Tensor

from segmix_core.models.cam import keep_present_classes


def cut_quarters(images: Tensor) -> Tensor:
    """Cut tiles into quarters.

    Parameters
    ----------
    images
        (B, C, H, W) with even H and W.

    Returns
    -------
    Tensor
        (4 B, C, H / 2, W / 2): all upper left quarters, then upper right, lower left
        and lower right.

    Raises
    ------
    ValueError
        For odd edges.
    """
    height, width = images.shape[-2:]
    if height % 2 or width % 2:
        raise ValueError(f"Edges must be even, not {height} x {width}")
    upper, lower = images.tensor_split(2, dim=-2)
    return torch.cat(
        [part for half in (upper, lower) for part in half.tensor_split(2, dim=-1)]
    )


def merge_quarters(maps: Tensor) -> Tensor:
    """Join the maps (4 B, C, h, w) of :func:`cut_quarters` to (B, C, 2h, 2w)."""
    upper_left, upper_right, lower_left, lower_right = maps.chunk(4)
    upper = torch.cat([upper_left, upper_right], dim=-1)
    lower = torch.cat([lower_left, lower_right], dim=-1)
    return torch.cat([upper, lower], dim=-2)


def reconstruction_loss(whole: Tensor, merged: Tensor, present: Tensor) -> Tensor:
    """Return the difference between the maps of quarters and of the whole tile.

    Parameters
    ----------
    whole, merged
        (B, C, h, w), raw scores; both get gradients.
    present
        (B, C), bool or 0/1.

    Returns
    -------
    Tensor
        Scalar >= 0: mean absolute difference; absent classes count as zeros, as
        published.
    """
    difference = (whole.float() - merged.float()).abs()
    return keep_present_classes(difference, present).mean()
