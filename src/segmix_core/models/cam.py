"""Class activation maps as plain tensors."""

import torch
from torch import Tensor
from torch.nn import functional as F

_EPS = 1e-5


def normalize_cam(cam: Tensor) -> Tensor:
    """Scale the positive part of the maps of a tile by their common maximum.

    One scale for all classes keeps their order at a pixel.

    The maximum alone is used, not the range: a tile that is one class everywhere has
    a flat map, which the range would turn into zeros.

    Parameters
    ----------
    cam
        (B, C, h, w), raw scores.

    Returns
    -------
    Tensor
        (B, C, h, w), in [0, 1]; maps without a positive score are all zero.
    """
    positive = F.relu(cam)
    peak = positive.amax(dim=(1, 2, 3), keepdim=True)
    return F.relu(positive - _EPS) / (peak + _EPS)


def keep_present_classes(cam: Tensor, present: Tensor) -> Tensor:
    """Zero the maps of classes that a tile may not contain.

    Parameters
    ----------
    cam
        (B, C, h, w).
    present
        (B, C), bool or 0/1. Never the soft labels of shuffled tiles: their values
        are areas, and would weaken the maps of small parts.

    Returns
    -------
    Tensor
        (B, C, h, w); all zero for a tile without any present class.
    """
    return cam * present[:, :, None, None].to(cam.dtype)


def keep_strongest_class(cam: Tensor) -> Tensor:
    """Zero all maps but the largest at each pixel; equal maps all stay.

    Parameters
    ----------
    cam
        (B, C, h, w), not negative.
    """
    return cam * (cam == cam.amax(dim=1, keepdim=True))


@torch.no_grad()
def make_seed(cam: Tensor, present: Tensor) -> Tensor:
    """Make the map that the pixel correlation module spreads (SEAM, sec. 3.3).

    A pixel belongs to the class of its strongest map; unlike in SEAM there is no
    background channel.

    Parameters
    ----------
    cam
        (B, C, h, w), raw scores.
    present
        (B, C), bool or 0/1: classes that may be in the tile.

    Returns
    -------
    Tensor
        (B, C, h, w), in [0, 1], at most one class above zero at a pixel, without
        gradient.
    """
    # Absent classes go first: they must not set the common scale.
    return keep_strongest_class(normalize_cam(keep_present_classes(cam, present)))
