"""What every backbone gives, and the small one that learns from scratch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from torch import Tensor, nn

from segmix_core.encoders import IMAGENET_MEAN, IMAGENET_STD


class Taps(NamedTuple):
    """Two feature maps: ``low`` is earlier and may be larger, ``high`` is the last."""

    low: Tensor
    high: Tensor


class SmallBackbone(nn.Module):
    """Eight convolutions of stride 8 that learn from scratch on a CPU in minutes.

    Batch normalization, not group normalization: a group is normalized within one
    tile, which hides how a tile of one class differs from a tile of another, and
    changes when a network trained on small tiles looks at larger ones.

    Parameters
    ----------
    width
        Channels of the first layers; the last have four times as many.
    """

    stride = 8
    low_stride = 4
    mean = IMAGENET_MEAN
    std = IMAGENET_STD

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.low_channels = 2 * width
        self.high_channels = 4 * width
        self.early = nn.Sequential(
            _convolution(3, width, stride=2),
            _convolution(width, width),
            _convolution(width, 2 * width, stride=2),
            _convolution(2 * width, 2 * width),
        )
        self.late = nn.Sequential(
            _convolution(2 * width, 4 * width, stride=2),
            _convolution(4 * width, 4 * width),
            _convolution(4 * width, 4 * width),
            _convolution(4 * width, 4 * width),
        )

    def forward(self, images: Tensor) -> Taps:
        """Return taps of shapes (B, 2 width, H/4, W/4) and (B, 4 width, H/8, W/8)."""
        low = self.early(images)
        return Taps(low, self.late(low))


@contextmanager
def keep_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch normalization use the batch at hand without remembering it.

    For views that no slide looks like, such as shuffled tiles: they would shift the
    running mean and variance that inference relies on.
    """
    layers = [
        layer
        for layer in module.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm)  # noqa: SLF001
        and layer.training
        and layer.track_running_stats
    ]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


def _convolution(channels: int, filters: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, filters, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(inplace=True),
    )
