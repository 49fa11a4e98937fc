"""Which patch sizes a tile can be cut into."""

from collections.abc import Sequence
from math import gcd, lcm

from segmix_core.errors import ConfigError

# Below 8 cells an edge nothing of a structure is left in a patch of a large tile.
_SMALL_TILE_PX = 128
TILE_STEP = 16
"""Edges of batches are multiples of it, whatever the tiles are."""


def list_patch_sizes(height: int, width: int, *, stride: int = 8) -> tuple[int, ...]:
    """Return the patch sizes of a tile, coarse to fine.

    Common divisors of both edges that are multiples of the network's stride, so that a
    seam never runs through a cell of the CAM; at most half the shorter edge, and at
    least 16 pixels for tiles of 128 pixels or more.

    Parameters
    ----------
    height, width
        Of the tile, in pixels.
    stride
        Pixels a cell of the CAM.

    Raises
    ------
    ConfigError
        If no patch size fits.

    Examples
    --------
    >>> list_patch_sizes(224, 224)
    (112, 56, 32, 16)
    >>> list_patch_sizes(64, 64)
    (32, 16, 8)
    """
    shorter = min(height, width)
    smallest = max(stride, 16) if shorter >= _SMALL_TILE_PX else stride
    common = gcd(height, width)
    sizes = tuple(
        size
        for size in range(shorter // 2, smallest - 1, -1)
        if common % size == 0 and size % stride == 0
    )
    if not sizes:
        raise ConfigError(
            f"A tile of {height} x {width} pixels cannot be divided into patches of a "
            f"multiple of {stride} pixels.",
            f"Choose a tile size such as {nearest_sizes(shorter, stride)} pixels, or "
            "another backbone.",
        )
    return sizes


def nearest_sizes(edge: int, stride: int) -> str:
    """Return the tile sizes around ``edge`` that halve into whole cells, as words.

    Tiles of a batch have edges that 16 divides, so these do as well.

    Examples
    --------
    >>> nearest_sizes(256, 14)
    '224 or 336'
    >>> nearest_sizes(40, 16)
    '32 or 64'
    """
    step = lcm(2 * stride, TILE_STEP)
    below, above = edge // step * step, (edge // step + 1) * step
    return f"{below} or {above}" if below else str(above)


def check_patch_sizes(
    sizes: Sequence[int], height: int, width: int, *, stride: int = 8
) -> tuple[int, ...]:
    """Return the user's patch sizes, coarse to fine, each once.

    Raises
    ------
    ConfigError
        If one is not a multiple of the stride or does not divide the tile into at
        least two patches an edge, or if there is none.
    """
    possible = [
        size
        for size in range(stride, min(height, width) // 2 + 1, stride)
        if gcd(height, width) % size == 0
    ]
    wrong = [size for size in sizes if size not in possible]
    if wrong or not sizes:
        raise ConfigError(
            f"These patch sizes do not divide a tile of {height} x {width} pixels "
            f"into multiples of {stride}: {', '.join(map(str, wrong)) or 'none'}.",
            f"Choose from {', '.join(map(str, possible)) or 'another tile size'}.",
        )
    return tuple(sorted(set(sizes), reverse=True))


def check_quarters(tile_px: int, stride: int) -> None:
    """Raise ConfigError unless the quarters of a tile are whole cells of the map.

    Raises
    ------
    ConfigError
        If they are not.
    """
    if tile_px % (2 * stride):
        raise ConfigError(
            f"puzzle-cam needs tiles of a multiple of {2 * stride} pixels, not "
            f"{tile_px}.",
            f"Choose a tile size such as {nearest_sizes(tile_px, stride)} pixels, "
            "another backbone or another method.",
        )


def default_patch_size(sizes: Sequence[int], tile_px: int) -> int:
    """Return the size for warm-up and the fixed strategy: about 32 pixels.

    A quarter of the tile where that is less (the paper's 32 belongs to tiles of 224 and
    384 pixels).

    Parameters
    ----------
    sizes
        As from :func:`list_patch_sizes`.
    tile_px
        Shorter edge of the tile, in pixels.
    """
    wanted = min(32, tile_px / 4)
    return min(sizes, key=lambda size: (abs(size - wanted), size))
