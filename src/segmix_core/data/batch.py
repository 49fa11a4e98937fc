"""What a step of training sees."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """B tiles as tensors on one device.

    Attributes
    ----------
    images
        (B, 3, H, W) float32 RGB in 0..1.
    labels
        (B, C) float32 holding -1 (unknown), 0 (absent) or 1 (present); column c is
        class index c + 1. C is 0 where labels play no part.
    tile_ids
        (B,) int64.
    valid
        (B, 2) int64: rows and columns before padding at the bottom and right.
    masks
        (B, H, W) uint8 class index, 255 ignore; where masks are learned.
    weights
        (B, H, W) float32 >= 0, the weight of each pixel's loss; only with ``masks``.
    corrected
        (B, H, W) bool: a person has decided this pixel of ``masks``; None: no pixel.
    names
        What people call the tiles, B texts; empty where nobody asks.
    """

    images: Tensor
    labels: Tensor
    tile_ids: Tensor
    valid: Tensor
    masks: Tensor | None = None
    weights: Tensor | None = None
    corrected: Tensor | None = None
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[1] != 3:
            raise ValueError(
                f"Expected images (B, 3, H, W), got {tuple(self.images.shape)}"
            )
        if (self.masks is None) != (self.weights is None):
            raise ValueError("Masks and weights come together or not at all")

    def __len__(self) -> int:
        return self.images.shape[0]

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on ``device``; pinned memory is copied asynchronously."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "Batch":
        """Return the batch in page-locked memory, which CUDA copies faster."""
        return self._map(lambda tensor: tensor.pin_memory())

    def part(self, start: int, stop: int) -> "Batch":
        """Return the tiles ``start`` .. ``stop - 1``, as views."""
        part = self._map(lambda tensor: tensor[start:stop])
        return replace(part, names=self.names[start:stop])

    def with_pixels(
        self, images: Tensor, masks: Tensor | None, weights: Tensor | None
    ) -> "Batch":
        """Return a batch of the same tiles with other pixels."""
        return replace(self, images=images, masks=masks, weights=weights)

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return replace(
            self,
            images=change(self.images),
            labels=change(self.labels),
            tile_ids=change(self.tile_ids),
            valid=change(self.valid),
            masks=None if self.masks is None else change(self.masks),
            weights=None if self.weights is None else change(self.weights),
            corrected=None if self.corrected is None else change(self.corrected),
        )
