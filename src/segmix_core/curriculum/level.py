"""How tiles are shuffled: how strongly at a moment, and among which tiles."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShuffleLevel:
    """Edge of a patch in pixels, and share of patch positions that take part.

    Smaller ``patch_size`` and larger ``shuffle_ratio`` (0..1) are harder.
    """

    patch_size: int
    shuffle_ratio: float

    def __post_init__(self) -> None:
        if self.patch_size < 1:
            raise ValueError(f"patch_size must be >= 1, not {self.patch_size}")
        if not 0 <= self.shuffle_ratio <= 1:
            raise ValueError(f"shuffle_ratio must be in 0..1, not {self.shuffle_ratio}")


@dataclass(frozen=True, slots=True)
class ShuffleScope:
    """Where the patches of a shuffled tile may come from.

    Parameters
    ----------
    group_size
        Tiles that exchange patches; 0, or as many as the batch has and more, makes the
        whole batch one group. 1, only with ``in_place`` off: patches move inside their
        own tile, two or more of them, and labels stay as they are.
    in_place
        Patches keep their position. Otherwise each tile also permutes those that take
        part.
    exact
        Every patch that takes part comes from another tile (a cyclic shift by a random
        distance). Otherwise a uniform permutation, which leaves ``1 / group_size`` of
        the patches where they were. The same holds of positions where they change: a
        random cycle, or a uniform permutation.

    Raises
    ------
    ValueError
        For groups in which nothing could move.
    """

    group_size: int = 2
    in_place: bool = True
    exact: bool = True

    def __post_init__(self) -> None:
        if self.group_size < 0 or (self.group_size == 1 and self.in_place):
            raise ValueError(
                "group_size must be at least 2, or 1 with in_place off, not "
                f"{self.group_size}"
            )

    def tiles(self, count: int) -> int:
        """Return the tiles of a group in a batch of ``count``."""
        return min(self.group_size or count, count)


PAIRS = ShuffleScope()
"""Neighbors exchange patches in place, as in SegMix."""
