"""Feature maps of vision transformers of timm, one cell a patch."""

from typing import Any

from torch import Tensor, nn

from segmix_core.encoders import Encoder
from segmix_core.errors import ConfigError
from segmix_core.models.backbone import Taps
from segmix_core.models.initial_weights import InitialWeights, fit_weights
from segmix_core.models.timm_backbone import UNFIT, classifier_names, downloading

_POOLING = ("fc_norm", "attn_pool")
# Of timm: each of their networks has one map size, takes images of any size with
# ``dynamic_img_size`` and shows what is between its blocks.
_MODULES = ("vision_transformer", "eva", "deit")


class VitBackbone(nn.Module):
    """A vision transformer that takes images of any size; its stride is its patch.

    Taps are the patch tokens after half of the blocks and after the last, both through
    the final normalization, as DINOv2 (Oquab et al., arXiv 2304.07193) gives dense
    features. Tokens of class and registers are left out.

    Parameters
    ----------
    name
        For messages.
    encoder
        Architecture of timm and how to vary it.
    stride
        Has to be the edge of the patch, if given.
    weights
        What to begin with.

    Raises
    ------
    ConfigError
        If timm cannot build it, its patches have another edge than the stride, or the
        weights do not fit or cannot be had.
    """

    def __init__(
        self,
        name: str,
        encoder: Encoder,
        *,
        stride: int | None = None,
        weights: InitialWeights,
    ) -> None:
        super().__init__()
        self.network = _create_network(name, encoder)
        blocks: Any = self.network.feature_info
        self.stride: int = blocks[-1]["reduction"]
        if stride not in (None, self.stride):
            raise ConfigError(
                f"{name} has stride {self.stride}, its patch size, not {stride}.",
                "Leave the stride empty, or choose a convolutional backbone.",
            )
        if weights.source == "download":
            with downloading(name):
                self.network = _create(encoder, pretrained=True)
        elif weights.source == "file":
            self._load(name, weights)
        self.low_stride = self.stride
        self.mean, self.std = encoder.mean, encoder.std
        self.low_channels = self.high_channels = int(blocks[-1]["num_chs"])
        self._taken = [len(blocks) // 2 - 1, len(blocks) - 1]

    def _load(self, name: str, weights: InitialWeights) -> None:
        heads = (*classifier_names(self.network), *_POOLING)
        fitting = fit_weights(
            weights, self.network.state_dict(), network=name, heads=heads
        )
        self.network.load_state_dict(fitting)

    def forward(self, images: Tensor) -> Taps:
        """Return two maps (B, D, H/stride, W/stride); the stride divides H and W."""
        # Any: mypy takes the methods of a module for tensors.
        network: Any = self.network
        low, high = network.forward_intermediates(
            images, indices=self._taken, norm=True, intermediates_only=True
        )
        return Taps(low, high)


def is_vit(name: str) -> bool:
    """Say whether timm's model ``name`` is a transformer that this file can use."""
    import timm

    return bool(timm.models.is_model_in_modules(name, _MODULES))


def _create_network(name: str, encoder: Encoder) -> nn.Module:
    try:
        return _create(encoder)
    except UNFIT as error:
        raise ConfigError(
            f"timm cannot build the vision transformer {name!r} ({error}).",
            "Choose another model, such as vit_small_patch16_224.",
        ) from error


def _create(encoder: Encoder, *, pretrained: bool = False) -> nn.Module:
    import timm
    from timm.layers import SwiGLUPacked

    options: dict[str, Any] = dict(encoder.arguments)
    if encoder.swiglu:
        options |= {"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU}
    if encoder.repository:
        options["pretrained_cfg"] = {
            "hf_hub_id": encoder.repository,
            "source": "hf-hub",
            "num_classes": 0,
            "classifier": "head",
        }
    network: nn.Module = timm.create_model(
        encoder.architecture,
        pretrained=pretrained,
        num_classes=0,
        dynamic_img_size=True,
        **options,
    )
    # Parameters that no map comes from would be averaged, stored and checked in vain.
    for part in _POOLING:
        if isinstance(getattr(network, part, None), nn.Module):
            setattr(network, part, nn.Identity())
    return network
