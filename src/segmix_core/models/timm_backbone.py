"""Feature maps of convolutional networks of timm, dilated to the stride of the CAM."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from segmix_core.encoders import IMAGENET_MEAN, IMAGENET_STD
from segmix_core.errors import ConfigError
from segmix_core.licenses import UNKNOWN, License, find_license
from segmix_core.models.backbone import Taps
from segmix_core.models.initial_weights import (
    InitialWeights,
    fit_weights,
    open_branches,
)

_STRIDES = (8, 16)
# timm answers unfit networks with whatever their constructor stumbles over.
UNFIT = (TypeError, AssertionError, ValueError, RuntimeError, KeyError)


class TimmBackbone(nn.Module):
    """A convolutional network of timm by its name, such as a ResNet.

    Parameters
    ----------
    name
        As in ``timm.list_models()``; networks with feature maps.
    stride
        8 or 16, by dilation; None: 8, or 16 where 8 cannot be.
    weights
        What to begin with.

    Raises
    ------
    ConfigError
        If the network gives no maps of that stride, or the weights do not fit or
        cannot be had.
    """

    def __init__(
        self, name: str, *, stride: int | None = None, weights: InitialWeights
    ) -> None:
        # Imported late, here and below: it takes longer to load than torch, and the
        # small backbone needs none of it.
        import timm

        super().__init__()
        self.stride, self.network = _create_network(name, stride)
        if weights.source == "scratch":
            open_branches(self.network)
        elif weights.source == "download":
            with downloading(name):
                self.network = _create(name, self.stride, pretrained=True)
        elif weights.source == "file":
            self.network = _load(name, self.stride, weights)
        maps = self.network.feature_info
        self.low_channels, self.high_channels = maps.channels()[-2:]
        self.low_stride: int = maps.reduction()[-2]
        published = timm.get_pretrained_cfg(name)
        self.mean = published.mean if published else IMAGENET_MEAN
        self.std = published.std if published else IMAGENET_STD

    def forward(self, images: Tensor) -> Taps:
        """Return the last two feature maps, (B, ?, H/stride, W/stride) or larger."""
        low, high = self.network(images)[-2:]
        return Taps(low, high)


def _create_network(name: str, stride: int | None) -> tuple[int, Any]:
    possible: Sequence[int] = _STRIDES if stride is None else (stride,)
    for wanted in possible:
        try:
            network: Any = _create(name, wanted)
        except UNFIT:
            continue
        channels = network.feature_info.channels()
        if network.feature_info.reduction()[-1] == wanted and len(channels) >= 2:
            return wanted, network
    raise ConfigError(
        f"{name} has no feature maps of stride {' or '.join(map(str, possible))}.",
        "Choose a convolutional network such as resnet18 or efficientnet_b0, or a "
        "vision transformer of timm."
        if stride is None
        else "Choose the other stride, or leave it empty for what the network can do.",
    )


def _create(name: str, stride: int, **options: Any) -> nn.Module:
    import timm

    network: nn.Module = timm.create_model(
        name, features_only=True, output_stride=stride, **options
    )
    return network


def _load(name: str, stride: int, weights: InitialWeights) -> nn.Module:
    import timm

    # A file has the names of the whole network, which the one for maps may change.
    whole = timm.create_model(name)
    fitting = fit_weights(
        weights, whole.state_dict(), network=name, heads=classifier_names(whole)
    )
    return _create(
        name, stride, pretrained=True, pretrained_cfg_overlay={"state_dict": fitting}
    )


def classifier_names(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the parts of a network of timm that classify."""
    published: Any = network.pretrained_cfg
    names = published.get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)


def published_license(name: str) -> License | None:
    """Return the license of published weights, by timm's records where we know none.

    None for a backbone without any.
    """
    known = find_license(name)
    if known is not UNKNOWN:
        return known
    import timm

    published = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    text = published.license if published else None
    return UNKNOWN if text in (None, "unknown") else License(text)


@contextmanager
def downloading(name: str) -> Iterator[None]:
    """Turn what goes wrong with a download into one sentence.

    Raises
    ------
    ConfigError
        For all that timm and the hub raise.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"The published weights of {name} cannot be loaded: "
            f"{(str(error).splitlines() or [type(error).__name__])[0].rstrip('.')}.",
            "Check the connection and your access to gated weights. Otherwise choose "
            "a .safetensors file, or 'scratch'.",
        ) from error
