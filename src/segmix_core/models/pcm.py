"""The pixel correlation module: a CAM spread along similar pixels (SEAM, sec. 3.3)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

_EPS = 1e-5

# An affinity of 4096 x 4096 is 64 MiB a tile; larger ones are made in strips.
MAX_TOKENS = 4096


class PixelCorrelation(nn.Module):
    """Refine maps by the similarity of pixels in image, low and high features.

    Similarity is the positive part of the cosine; a refined pixel is the mean of all
    pixels of the tile weighted by it. The features are detached: a loss on the result
    trains the projections of this module, and neither the backbone nor the seed.

    Parameters
    ----------
    low_channels, high_channels
        Channels of the two feature maps.
    low_dim, high_dim
        Channels that they are projected to.
    max_tokens
        Pixels of a map above which the affinity is computed in strips, so that memory
        grows linearly with the map.
    """

    def __init__(
        self,
        low_channels: int,
        high_channels: int,
        *,
        low_dim: int = 64,
        high_dim: int = 128,
        max_tokens: int = MAX_TOKENS,
    ) -> None:
        super().__init__()
        self.max_tokens = max_tokens
        self.low = nn.Conv2d(low_channels, low_dim, 1, bias=False)
        self.high = nn.Conv2d(high_channels, high_dim, 1, bias=False)
        mixed = 3 + low_dim + high_dim
        self.mix = nn.Conv2d(mixed, low_dim + high_dim, 1, bias=False)
        nn.init.kaiming_normal_(self.low.weight)
        nn.init.kaiming_normal_(self.high.weight)
        nn.init.xavier_uniform_(self.mix.weight, gain=4)

    def forward(
        self, seed: Tensor, images: Tensor, low: Tensor, high: Tensor
    ) -> Tensor:
        """Return the seed averaged over similar pixels.

        Parameters
        ----------
        seed
            (B, C, h, w), not negative; any number of channels.
        images
            (B, 3, H, W), normalized as for the backbone.
        low
            (B, c1, ?, ?), resized to (h, w).
        high
            (B, c2, h, w).

        Returns
        -------
        Tensor
            (B, C, h, w), between the smallest and the largest value of each channel.
        """
        # Half precision would lose the small similarities in the sums over N pixels.
        with torch.autocast(seed.device.type, enabled=False):
            tokens = self.tokens(images, low, high, seed.shape[-2:])  # (B, D, N)
            refined = spread(seed.flatten(2), tokens, max_tokens=self.max_tokens)
        return refined.view_as(seed)

    def tokens(
        self, images: Tensor, low: Tensor, high: Tensor, shape: torch.Size
    ) -> Tensor:
        """Return unit vectors (B, D, N), one for each of the N = h * w pixels."""
        rgb = _resize(images.float(), shape)
        low = F.relu(self.low(_resize(low.detach().float(), shape)))
        high = F.relu(self.high(_resize(high.detach().float(), shape)))
        mixed = self.mix(torch.cat([rgb, low, high], dim=1)).flatten(2)
        unit: Tensor = mixed / (mixed.norm(dim=1, keepdim=True) + _EPS)
        return unit


def spread(seed: Tensor, tokens: Tensor, *, max_tokens: int = MAX_TOKENS) -> Tensor:
    """Average a seed over pixels in proportion to the positive cosine of tokens.

    ``out[c, j] = sum_i seed[c, i] S[i, j] / (sum_i S[i, j] + 1e-5)`` with
    ``S = relu(tokens^T tokens)`` (SEAM, eq. 6-7).

    Parameters
    ----------
    seed
        (B, C, N).
    tokens
        (B, D, N), unit vectors.
    max_tokens
        Above this N the columns of S are made in strips of ``max_tokens ** 2 / N``,
        and made again for the gradient.

    Returns
    -------
    Tensor
        (B, C, N), float32.
    """
    seed = seed.to(tokens.dtype)
    count = tokens.shape[-1]
    if count <= max_tokens:
        return _spread_columns(seed, tokens, tokens)
    strips = torch.split(tokens, max(1, max_tokens**2 // count), dim=-1)
    if torch.is_grad_enabled() and (tokens.requires_grad or seed.requires_grad):
        parts = [
            checkpoint(_spread_columns, seed, tokens, strip, use_reentrant=False)
            for strip in strips
        ]
    else:
        # One block of memory for all strips: fresh pages cost as much as the product.
        room = tokens.new_empty(len(tokens) * count * strips[0].shape[-1])
        parts = [_spread_columns(seed, tokens, strip, room) for strip in strips]
    return torch.cat(parts, dim=-1)


def _spread_columns(
    seed: Tensor, tokens: Tensor, columns: Tensor, room: Tensor | None = None
) -> Tensor:
    shape = (len(tokens), tokens.shape[-1], columns.shape[-1])
    out = None if room is None else room[: math.prod(shape)].view(shape)
    # In place: a second affinity would double the memory.
    similarity = torch.bmm(tokens.transpose(1, 2), columns, out=out).relu_()
    total = similarity.sum(dim=1, keepdim=True) + _EPS  # (B, 1, n)
    # Dividing the product is cheaper than dividing the N x n affinity.
    return (seed @ similarity) / total


def _resize(maps: Tensor, shape: torch.Size) -> Tensor:
    if maps.shape[-2:] == shape:
        return maps
    # Antialiased: a pixel of the small map stands for all that it covers.
    return F.interpolate(
        maps, shape, mode="bilinear", align_corners=False, antialias=True
    )
