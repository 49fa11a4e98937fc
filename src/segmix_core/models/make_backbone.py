"""Backbones by their name."""

from segmix_core.encoders import (
    ENCODERS,
    HUB,
    IMAGENET_MEAN,
    IMAGENET_STD,
    SMALL,
    Encoder,
    find_encoder,
)
from segmix_core.errors import ConfigError
from segmix_core.models.backbone import SmallBackbone
from segmix_core.models.initial_weights import InitialWeights, fit_weights
from segmix_core.models.timm_backbone import TimmBackbone
from segmix_core.models.vit_backbone import VitBackbone, is_vit

Backbone = SmallBackbone | TimmBackbone | VitBackbone


def make_backbone(
    name: str,
    *,
    width: int = 32,
    stride: int | None = None,
    weights: InitialWeights = InitialWeights(),  # noqa: B008 - it is frozen
) -> Backbone:
    """Return the network called ``name``.

    Parameters
    ----------
    name
        "small", a name of timm, or one of :data:`segmix_core.encoders.ENCODERS`.
    width
        Channels of the small backbone's first layers.
    stride
        Pixels a cell of the maps; None: 8 where the network can, else what it has.
    weights
        What to begin with, from
        :func:`segmix_core.models.initial_weights.find_weights`.

    Raises
    ------
    ConfigError
        If it does not exist, has another stride, or the weights do not fit or cannot
        be had.
    """
    if name == SMALL:
        return _make_small(width, stride, weights)
    encoder = find_encoder(name)
    if encoder is None:
        encoder = _look_up(name)
    if encoder is not None:
        return VitBackbone(name, encoder, stride=stride, weights=weights)
    return TimmBackbone(name, stride=stride, weights=weights)


def _make_small(
    width: int, stride: int | None, weights: InitialWeights
) -> SmallBackbone:
    if stride not in (None, SmallBackbone.stride):
        raise ConfigError(
            f"The small backbone has stride {SmallBackbone.stride}, not {stride}.",
            "Leave the stride empty, or choose a timm backbone such as resnet18.",
        )
    if weights.source == "download":
        raise ConfigError(
            "The small backbone has no published weights.",
            "Choose 'scratch', or a timm backbone such as resnet18.",
        )
    backbone = SmallBackbone(width)
    if weights.source == "file":
        wanted = backbone.state_dict()
        name = f"the small backbone of width {width}"
        backbone.load_state_dict(wanted | fit_weights(weights, wanted, network=name))
    return backbone


def _look_up(name: str) -> Encoder | None:
    """Return timm's transformer of that name; None for its convolutional networks."""
    import timm

    if name.startswith(HUB):
        raise ConfigError(
            f"{name!r} is not a supported encoder.",
            f"Choose one of {', '.join(ENCODERS)}, or a timm model.",
        )
    if not timm.is_model(name):
        raise ConfigError(
            f"{name!r} is not 'small' or the name of a timm model.",
            "Common choices are resnet18, resnet34 and resnet50.",
        )
    if not is_vit(name):
        return None
    published = timm.get_pretrained_cfg(name)
    mean = published.mean if published else IMAGENET_MEAN
    std = published.std if published else IMAGENET_STD
    return Encoder(architecture=name, mean=mean, std=std)
