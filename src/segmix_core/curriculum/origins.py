"""Where each patch of a shuffled batch comes from: its tile, and its place in it."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from segmix_core.curriculum.level import ShuffleScope

Uniform = Callable[[tuple[int, ...]], Tensor]
"""Returns uniform noise in [0, 1) of a shape."""


class Origins(NamedTuple):
    """A permutation of the patches of a batch.

    Attributes
    ----------
    sources
        (B, rows, cols) int64: index into the batch of the tile of each patch.
    positions
        (B, rows, cols) int64: where in that tile it was, ``row * cols + col``.
    """

    sources: Tensor
    positions: Tensor


def draw_origins(
    count: int,
    shape: tuple[int, int],
    ratio: float,
    scope: ShuffleScope,
    generator: torch.Generator | None,
) -> Origins:
    """Draw a shuffle; see :func:`segmix_core.curriculum.shuffle.shuffle_batch`.

    Parameters
    ----------
    count, shape
        Tiles, B; rows and columns of patches.
    ratio
        Share of positions that take part, in [0, 1].
    scope
        Groups and moves; tiles left over keep their patches.
    generator
        Source of randomness.
    """
    size = scope.tiles(count)
    groups = 0 if size == 1 and scope.group_size != 1 else count // size
    device = generator.device if generator is not None else torch.device("cpu")
    uniform = partial(torch.rand, generator=generator, device=device)
    patches = shape[0] * shape[1]
    # One patch alone finds no other place in its tile.
    least = 2 if size == 1 else 1
    moving = min(patches, max(round(ratio * patches), least)) if ratio > 0 else 0
    order = uniform((groups, patches)).argsort(dim=1)
    takes_part = order.argsort(dim=1) < moving  # (G, N)
    sources = torch.arange(count, device=device)[:, None].repeat(1, patches)
    positions = torch.arange(patches, device=device).repeat(count, 1)
    part = groups * size
    if size > 1:
        members = _exchange(takes_part, size, scope.exact, uniform)
        sources[:part] = members.view(part, patches)
    if not scope.in_place and moving > 1:
        places = order[:, None, :moving].expand(groups, size, moving)
        positions[:part] = _rearrange(places, patches, scope.exact, uniform)
        sources = sources.gather(1, positions)
    return Origins(sources.view(count, *shape), positions.view(count, *shape))


def _exchange(takes_part: Tensor, size: int, exact: bool, uniform: Uniform) -> Tensor:
    """Return (G, g, N): the tile of the batch of each patch, position by position."""
    groups, patches = takes_part.shape
    member = torch.arange(size, device=takes_part.device)[None, :, None]
    if exact:
        distance = 1 + (uniform((groups, 1, patches)) * (size - 1)).long()
        moved = (member + distance) % size
    else:
        moved = uniform((groups, size, patches)).argsort(dim=1)
    chosen = torch.where(takes_part[:, None], moved, member)
    first = size * torch.arange(groups, device=takes_part.device)
    return chosen + first[:, None, None]


def _rearrange(places: Tensor, patches: int, exact: bool, uniform: Uniform) -> Tensor:
    """Return (G * g, N): ``places`` (G, g, k) permuted, each tile in its own way."""
    groups, size, moving = places.shape
    shuffled = uniform((groups, size, moving)).argsort(dim=2)
    taken = places.gather(2, shuffled)
    # A cycle through all of them in random order: no patch keeps its place.
    target = taken.roll(1, dims=2) if exact else places
    positions = torch.arange(patches, device=places.device).repeat(groups, size, 1)
    return positions.scatter(2, target, taken).view(groups * size, patches)
