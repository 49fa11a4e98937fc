"""Views of tiles in other colors and at a smaller scale."""

from math import ceil

import torch
from torch import Tensor
from torch.nn import functional as F

# Cells an edge that the second view's map keeps. SEAM's second view has 16 (0.3 of 448
# pixels at stride 8), but tissue tiles are smaller; below 8, a cell is a whole gland.
_CELLS = 8


def jitter_colors(
    images: Tensor,
    *,
    strength: float = 0.1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Change brightness, contrast and the balance of the channels a little.

    Parameters
    ----------
    images
        (B, 3, H, W), in [0, 1].
    strength
        Largest relative change of brightness and contrast; channels differ by half.
    generator
        Source of randomness, on the CPU.

    Returns
    -------
    Tensor
        (B, 3, H, W), in [0, 1].
    """
    count = len(images)
    draws = 2 * torch.rand(count, 5, 1, 1, generator=generator) - 1
    draws = (strength * draws).to(images.device)
    gain = 1 + draws[:, :1] + 0.5 * draws[:, 2:]  # (B, 3, 1, 1)
    contrast = 1 + draws[:, 1:2]
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return torch.addcmul(
        middle * (1 - contrast) * gain, images, contrast * gain
    ).clamp_(0, 1)


def second_scale(height: int, width: int, stride: int) -> float:
    """Return the scale of the second view: 0.5, 0.75 or 1.

    Half, as a change of magnification that a network should not mind; less where the
    map of the smaller view would have fewer than 8 cells an edge: tiles of 64 pixels
    are only turned.

    Examples
    --------
    >>> second_scale(224, 224, 8), second_scale(96, 96, 8), second_scale(64, 64, 8)
    (0.5, 0.75, 1.0)
    """
    for scale in (0.5, 0.75):
        if ceil(scale * min(height, width) / stride) >= _CELLS:
            return scale
    return 1.0


def rescale(images: Tensor, scale: float, stride: int) -> Tensor:
    """Return images at about ``scale``, with edges that are multiples of the stride."""
    if scale == 1:
        return images
    height, width = (
        max(stride, round(scale * edge / stride) * stride) for edge in images.shape[-2:]
    )
    return F.interpolate(
        images, (height, width), mode="bilinear", align_corners=False, antialias=True
    )
