"""The in-place shuffle: tiles of a group exchange patches at equal positions.

After CellMix (arXiv 2301.11513, sec. 3.1) with two additions: the tile that each patch
came from is returned, and ``exact`` moves every patch that takes part.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from segmix_core.curriculum.level import ShuffleLevel


@dataclass(frozen=True, slots=True)
class Shuffled:
    """A batch after the shuffle.

    Attributes
    ----------
    images
        (B, C, H, W), of the type that went in.
    labels
        (B, K), float: the share of the tile's area that has each class, in [0, 1]; -1
        where a patch comes from a tile in which the class is unknown.
    present
        (B, K), bool: some patch comes from a tile with the class.
    sources
        (B, rows, cols), int64: index into the batch of the tile of each patch.
    """

    images: Tensor
    labels: Tensor
    present: Tensor
    sources: Tensor


def shuffle_batch(
    images: Tensor,
    labels: Tensor,
    level: ShuffleLevel,
    *,
    group_size: int = 2,
    exact: bool = True,
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
    group_size
        Tiles that exchange patches; B or more makes the whole batch one group.
    exact
        Every patch that takes part comes from another tile (a cyclic shift by a random
        distance). Otherwise a uniform permutation, which leaves ``1 / group_size`` of
        the patches where they were.
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
    rows, cols = _grid(images, labels, level.patch_size)
    size = min(group_size, len(images))
    if size < 2:
        if group_size < 2:
            raise ValueError(f"Expected groups of at least 2 tiles, got {group_size}")
        sources = _own(len(images), rows, cols)
    else:
        sources = _draw_sources(
            len(images), (rows, cols), level.shuffle_ratio, size, exact, generator
        )
    sources = sources.to(images.device)
    shuffled = _gather_patches(images, sources)
    soft, present = _mix_labels(labels, sources)
    return Shuffled(shuffled, soft, present, sources)


def unshuffle(images: Tensor, sources: Tensor) -> Tensor:
    """Put every patch back into the tile it came from.

    Parameters
    ----------
    images
        (B, C, H, W): shuffled images, or maps of them on any grid that the rows and
        columns of ``sources`` divide.
    sources
        (B, rows, cols), as in :class:`Shuffled`.

    Returns
    -------
    Tensor
        (B, C, H, W).

    Raises
    ------
    ValueError
        If the patches do not fit the images.
    """
    rows, cols = sources.shape[1:]
    height, width = images.shape[-2:]
    if height % rows or width % cols:
        raise ValueError(
            f"Expected a size that {rows} x {cols} patches divide, "
            f"got {height} x {width}"
        )
    # At a position the sources are a permutation of the batch; sorting inverts it.
    return _gather_patches(images, sources.argsort(dim=0))


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


def _own(count: int, rows: int, cols: int) -> Tensor:
    return torch.arange(count).view(-1, 1, 1).repeat(1, rows, cols)


def _draw_sources(
    count: int,
    shape: tuple[int, int],
    ratio: float,
    size: int,
    exact: bool,
    generator: torch.Generator | None,
) -> Tensor:
    device = generator.device if generator is not None else torch.device("cpu")
    groups, patches = count // size, shape[0] * shape[1]

    def uniform(*dims: int) -> Tensor:
        return torch.rand(dims, generator=generator, device=device)

    ranks = uniform(groups, patches).argsort(dim=1).argsort(dim=1)
    count_in = max(round(ratio * patches), 1 if ratio > 0 else 0)
    takes_part = ranks < count_in  # (G, N)
    member = torch.arange(size, device=device)[None, :, None]  # (1, g, 1)
    if exact:
        distance = 1 + (uniform(groups, 1, patches) * (size - 1)).long()
        moved = (member + distance) % size  # (G, g, N)
    else:
        moved = uniform(groups, size, patches).argsort(dim=1)
    chosen = torch.where(takes_part[:, None], moved, member)
    chosen = chosen + size * torch.arange(groups, device=device)[:, None, None]
    sources = _own(count, *shape).to(device)
    sources[: groups * size] = chosen.view(groups * size, *shape)
    return sources


def _gather_patches(images: Tensor, sources: Tensor) -> Tensor:
    """Return images of which each patch is of the tile in ``sources`` (B, rows, cols).

    A patch is moved as the runs of pixels that lie side by side in memory: copying runs
    costs little more than copying the batch, which picking out single pixels does not.
    """
    channels_last = not images.is_contiguous() and images.is_contiguous(
        memory_format=torch.channels_last
    )
    layers = images.permute(0, 2, 3, 1)[:, None] if channels_last else images
    depth, height, width = layers.shape[1:4]
    rows, cols = sources.shape[1:]
    # (B, depth, rows, height of a patch, cols): the number of each run in memory.
    runs = torch.arange(depth * height * cols, device=sources.device)
    runs = runs.view(1, depth, rows, height // rows, cols)
    runs = runs + sources[:, None, :, None, :] * runs.numel()
    length = math.prod(layers.shape[4:], start=width // cols)
    moved = layers.reshape(-1, length).index_select(0, runs.view(-1))
    moved = moved.view(layers.shape)
    return moved[:, 0].permute(0, 3, 1, 2) if channels_last else moved


def _mix_labels(labels: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    count = len(labels)
    flat = sources.flatten(1)
    area = torch.zeros(count, count, dtype=torch.float32, device=flat.device)
    area.scatter_add_(1, flat, torch.full(flat.shape, 1.0, device=flat.device))
    area /= flat.shape[1]  # (B, B): share of tile b that comes from tile s
    positive = area @ (labels > 0).to(area)
    unknown = area @ (labels < 0).to(area) > 0
    # Sums of shares may exceed one by rounding, which the loss would not accept.
    soft = positive.clamp(max=1).masked_fill(unknown, -1)
    return soft, positive > 0
