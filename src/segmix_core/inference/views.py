"""The eight ways a square can lie, and a module that is only asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segmix_core.models.precision import Precision


@dataclass(frozen=True, slots=True)
class View:
    """Quarter turns, then a mirror image; tissue has no preferred orientation."""

    turns: int = 0
    is_mirrored: bool = False

    def apply(self, images: Tensor) -> Tensor:
        """Return images (..., H, W) seen in this view; odd turns swap H and W."""
        turned = torch.rot90(images, self.turns, (-2, -1))
        return turned.flip(-1) if self.is_mirrored else turned

    def undo(self, maps: Tensor) -> Tensor:
        """Return maps (..., h, w) of the view in the images' own orientation."""
        upright = maps.flip(-1) if self.is_mirrored else maps
        return torch.rot90(upright, -self.turns, (-2, -1))


def views_of(flips: bool) -> tuple[View, ...]:
    """Return the eight symmetries of the square, or the plain view alone."""
    if not flips:
        return (View(),)
    return tuple(
        View(turns, mirrored) for mirrored in (False, True) for turns in range(4)
    )


@contextmanager
def asking(module: nn.Module, precision: Precision = "float32") -> Iterator[None]:
    """Switch to evaluation without gradients, and back to what was before.

    Never around a ``yield``: the mode would be that of the caller, too.
    """
    was_training = module.training
    module.eval()
    device = next(module.parameters()).device.type
    numbers = torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")
    try:
        with torch.inference_mode(), numbers:
            yield
    finally:
        module.train(was_training)
