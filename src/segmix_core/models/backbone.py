"""Feature maps of a convolutional network at the stride of the CAM."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from torch import Tensor, nn

from segmix_core.errors import ConfigError

SMALL = "small"

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class Taps(NamedTuple):
    """Two feature maps: ``low`` is earlier and may be larger, ``high`` is the last."""

    low: Tensor
    high: Tensor


class SmallBackbone(nn.Module):
    """Eight convolutions of stride 8 that learn from scratch on a CPU in minutes.

    Batch normalisation, not group normalisation: a group is normalised within one
    tile, which hides how a tile of one class differs from a tile of another, and
    changes when a network trained on small tiles looks at larger ones.

    Parameters
    ----------
    width
        Channels of the first layers; the last have four times as many.
    """

    stride = 8
    mean = _IMAGENET_MEAN
    std = _IMAGENET_STD

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


class TimmBackbone(nn.Module):
    """A network of timm by its name, dilated to stride 8, or 16 where 8 cannot be.

    Parameters
    ----------
    name
        As in ``timm.list_models()``; networks with feature maps, such as ResNets.
    pretrained
        Let timm download weights.

    Raises
    ------
    ConfigError
        For a name timm does not have, a network that gives no maps of stride 8 or 16,
        and weights that cannot be had.
    """

    def __init__(self, name: str, *, pretrained: bool = False) -> None:
        # Imported late, here and below: it takes longer to load than torch, and the
        # small backbone needs none of it.
        import timm

        super().__init__()
        self.stride, channels, self.network = _create_network(name, pretrained)
        self.low_channels, self.high_channels = channels
        published = timm.get_pretrained_cfg(name)
        self.mean = published.mean if published else _IMAGENET_MEAN
        self.std = published.std if published else _IMAGENET_STD

    def forward(self, images: Tensor) -> Taps:
        """Return the last two feature maps, (B, ?, H/stride, W/stride) or larger."""
        low, high = self.network(images)[-2:]
        return Taps(low, high)


def make_backbone(
    name: str, *, width: int = 32, pretrained: bool = False
) -> SmallBackbone | TimmBackbone:
    """Return the network called ``name``: "small", or a name of timm.

    Raises
    ------
    ConfigError
        If it does not exist, cannot give maps, or has no weights to download.
    """
    if name != SMALL:
        return TimmBackbone(name, pretrained=pretrained)
    if pretrained:
        raise ConfigError(
            "a backbone with published weights",
            "the small backbone with pretrained weights",
            "Switch pretrained off, or choose a timm backbone such as resnet18.",
        )
    return SmallBackbone(width)


@contextmanager
def keep_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch normalisation use the batch at hand without remembering it.

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


def _create_network(
    name: str, pretrained: bool
) -> tuple[int, tuple[int, int], nn.Module]:
    import timm

    if not timm.is_model(name):
        raise ConfigError(
            "'small' or the name of a timm model as backbone",
            repr(name),
            "Common choices are resnet18, resnet34 and resnet50.",
        )
    for stride in (8, 16):
        # timm answers unfit networks with whatever their constructor stumbles over.
        try:
            network = timm.create_model(name, features_only=True, output_stride=stride)
        except (TypeError, AssertionError, ValueError, RuntimeError, KeyError):
            continue
        channels = network.feature_info.channels()
        if network.feature_info.reduction()[-1] == stride and len(channels) >= 2:
            if pretrained:
                network = _load(name, stride)
            return stride, (channels[-2], channels[-1]), network
    raise ConfigError(
        "a backbone that gives feature maps of stride 8 or 16",
        repr(name),
        "Choose a convolutional network such as resnet18 or efficientnet_b0.",
    )


def _load(name: str, stride: int) -> nn.Module:
    import timm

    try:
        network: nn.Module = timm.create_model(
            name, pretrained=True, features_only=True, output_stride=stride
        )
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"published weights for {name}",
            str(error).splitlines()[0],
            "Check the connection, choose another backbone or switch pretrained off.",
        ) from error
    return network


def _convolution(channels: int, filters: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, filters, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(inplace=True),
    )
