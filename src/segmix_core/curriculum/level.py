"""How strongly tiles are shuffled at a moment."""

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
            raise ValueError(f"Expected a patch size >= 1, got {self.patch_size}")
        if not 0 <= self.shuffle_ratio <= 1:
            raise ValueError(f"Expected a ratio in 0..1, got {self.shuffle_ratio}")
