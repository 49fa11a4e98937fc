"""The eight symmetries of the square: H&E tissue has no up.

A symmetry is a code 0..7, three bits: 4, transposed; then 2, flipped upside down, and
1, flipped sideways. 0 changes nothing; from 4 on height and width change places.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

T = TypeVar("T", bound=np.generic)
Codes = npt.NDArray[np.int64]
IDENTITY = 0
_TRANSPOSED = 4


def symmetries_of(flips: bool) -> tuple[int, ...]:
    """Return the codes of all eight symmetries, or of the plain view alone."""
    return tuple(range(8)) if flips else (IDENTITY,)


def draw_symmetries(
    count: int, generator: torch.Generator | None = None, *, square: bool = True
) -> Codes:
    """Return (count,) int64 codes, all eight equally likely.

    Parameters
    ----------
    count
        How many.
    generator
        Source of randomness, on the CPU.
    square
        What is not square is never transposed: four are left.
    """
    bits = torch.rand(count, 3, generator=generator).numpy() < 0.5
    bits[:, 0] &= square
    return np.asarray(bits @ np.array([4, 2, 1]), np.int64)


def turn_array(array: npt.NDArray[T], code: int) -> npt.NDArray[T]:
    """Return a view of an array (H, W, ...) in a symmetry.

    Raises
    ------
    ValueError
        If there is no such symmetry.
    """
    upside_down, sideways = _flips(code)
    turned = array.swapaxes(0, 1) if code & _TRANSPOSED else array
    return turned[:: -1 if upside_down else 1, :: -1 if sideways else 1]


def turn(images: Tensor, code: int) -> Tensor:
    """Return images or maps (..., H, W) in a symmetry.

    Raises
    ------
    ValueError
        If there is no such symmetry.
    """
    return _turned(images, code, images.ndim - 2)


def turn_back(images: Tensor, code: int) -> Tensor:
    """Undo :func:`turn`, for images or for maps of them."""
    return _turned_back(images, code, images.ndim - 2)


def turn_each(images: Tensor, codes: Codes) -> Tensor:
    """Turn tiles, each by a symmetry of its own.

    Parameters
    ----------
    images
        (B, C, H, W); H equals W if a tile is transposed.
    codes
        (B,), as from :func:`draw_symmetries`.
    """
    return _each(images, codes, _turned)


def turn_each_back(images: Tensor, codes: Codes) -> Tensor:
    """Undo :func:`turn_each`, for images or for maps of them."""
    return _each(images, codes, _turned_back)


def _flips(code: int) -> tuple[bool, bool]:
    """Return whether a symmetry flips upside down, and sideways."""
    if not 0 <= code < 8:
        raise ValueError(f"Expected a symmetry in 0..7, got {code}")
    return bool(code & 2), bool(code & 1)


def _each(
    images: Tensor, codes: Codes, act: Callable[[Tensor, int, int], Tensor]
) -> Tensor:
    # Tile by tile, so that no pixel is moved for a turn that its tile does not take,
    # and in the layout of memory that the batch came in, which convolutions depend on.
    last = not images.is_contiguous() and images.is_contiguous(
        memory_format=torch.channels_last
    )
    tiles = images.permute(0, 2, 3, 1) if last else images
    first = 0 if last else 1
    turned = torch.stack(
        [
            act(tile, code, first)
            for tile, code in zip(tiles, codes.tolist(), strict=True)
        ]
    )
    return turned.permute(0, 3, 1, 2) if last else turned


def _turned(tile: Tensor, code: int, first: int) -> Tensor:
    """Turn a tile whose rows and columns are axes ``first`` and ``first + 1``."""
    axes = _flipped_axes(code, first)
    turned = tile.transpose(first, first + 1) if code & _TRANSPOSED else tile
    return turned.flip(axes) if axes else turned


def _turned_back(tile: Tensor, code: int, first: int) -> Tensor:
    axes = _flipped_axes(code, first)
    upright = tile.flip(axes) if axes else tile
    return upright.transpose(first, first + 1) if code & _TRANSPOSED else upright


def _flipped_axes(code: int, first: int) -> list[int]:
    return [first + axis for axis, flips in enumerate(_flips(code)) if flips]
