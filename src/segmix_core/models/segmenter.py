"""Image to class logits per pixel."""

from typing import Any

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from segmix_core.errors import ConfigError
from segmix_core.models.checkpoint import Checkpoint, rebuild
from segmix_core.models.initial_weights import open_branches

_UNET_CHANNELS = (160, 96, 48, 24, 16)
"""Of the decoder, deep to shallow, of which a depth takes the last. The library's (256,
128, 64, 32, 16) train at 60 % of the speed, most of it spent on the finest levels."""

DEFAULT_ENCODER = "tu-resnet18"
"""From scratch it learns tissue sooner than encoders that separate channels and space:
see "How the segmenter was chosen" in docs/lab/notes.md."""
DEPTHS = (3, 4, 5)
DECODERS = ("unet", "fpn", "deeplabv3plus")
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Segmenter(nn.Module):
    """Encoder and decoder of segmentation-models-pytorch with our classes.

    Parameters
    ----------
    num_classes
        C, the project's classes without background.
    has_background
        Give background a channel of its own, the first.
    decoder
        One of :data:`DECODERS`.
    encoder
        A name of segmentation-models-pytorch, or "tu-" and a name of timm.
    depth
        One of :data:`DEPTHS`: how often the encoder halves the size. Fewer are faster,
        and better for textures; more see farther.
    pretrained
        Download ImageNet weights for the encoder.

    Attributes
    ----------
    class_indices
        Mask value of each of the K channels: (0,) 1, ..., C.
    size_multiple
        H and W of images must be multiples of it.
    arguments
        JSON that rebuilds the module, without downloading.

    Raises
    ------
    ConfigError
        If there is no such decoder or encoder.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        num_classes: int,
        has_background: bool = False,
        decoder: str = "unet",
        encoder: str = DEFAULT_ENCODER,
        depth: int = 3,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"Expected at least one class, got {num_classes}")
        first = 0 if has_background else 1
        self.class_indices = tuple(range(first, num_classes + 1))
        self.arguments: dict[str, Any] = {
            "num_classes": num_classes,
            "has_background": has_background,
            "decoder": decoder,
            "encoder": encoder,
            "depth": depth,
        }
        self.network: nn.Module = _build(
            decoder, encoder, depth, pretrained, len(self.class_indices)
        )
        if not pretrained:
            open_branches(self.network)
        self.size_multiple = 2**depth
        self.register_buffer("mean", _as_image(_MEAN), persistent=False)
        self.register_buffer("std", _as_image(_STD), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, K, H, W) of images (B, 3, H, W), RGB in 0..1.

        Raises
        ------
        ValueError
            If H or W is no multiple of ``size_multiple``.
        """
        if any(edge % self.size_multiple for edge in images.shape[-2:]):
            raise ValueError(
                f"Expected edges that {self.size_multiple} divides, got "
                f"{tuple(images.shape[-2:])}"
            )
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


def load_segmenter(checkpoint: Checkpoint) -> Segmenter:
    """Return the segmenter of a checkpoint, ready to predict.

    Raises
    ------
    CheckpointError
        If the weights do not fit.
    """
    # Nothing is downloaded because a checkpoint says so.
    return rebuild(Segmenter, checkpoint, pretrained=False)


def _as_image(values: tuple[float, float, float]) -> Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)


def _build(
    decoder: str, encoder: str, depth: int, pretrained: bool, classes: int
) -> nn.Module:
    if depth not in DEPTHS:
        raise ConfigError(
            f"segmenter.depth cannot be {depth}.",
            f"Choose one of {', '.join(map(str, DEPTHS))}.",
        )
    if ":" in encoder:
        # timm would take it for an address to download from.
        raise ConfigError(
            f"{encoder!r} is not a valid encoder.",
            f"Use {DEFAULT_ENCODER}, or 'tu-' and the name of a timm model.",
        )
    common: dict[str, Any] = {
        "encoder_name": encoder,
        "encoder_depth": depth,
        "encoder_weights": "imagenet" if pretrained else None,
        "classes": classes,
    }
    makers = {
        "unet": lambda: smp.Unet(decoder_channels=_UNET_CHANNELS[-depth:], **common),
        # Its finest level is three halvings above the deepest.
        "fpn": lambda: smp.FPN(upsampling=2 ** (depth - 3), **common),
        "deeplabv3plus": lambda: smp.DeepLabV3Plus(decoder_channels=128, **common),
    }
    if decoder not in makers:
        raise ConfigError(
            f"{decoder!r} is not a valid decoder.",
            f"Set segmenter.decoder to one of {', '.join(DECODERS)}.",
        )
    try:
        module: nn.Module = makers[decoder]()
    except OSError as error:
        raise ConfigError(
            f"The pretrained weights cannot be downloaded ({error}).",
            "Check the network connection, or switch segmenter.pretrained off.",
        ) from error
    # The libraries answer an unknown or unsuitable encoder in these ways.
    except (KeyError, ValueError, RuntimeError, NotImplementedError) as error:
        raise ConfigError(
            f"{decoder} cannot use the encoder {encoder!r}.",
            f"Use {DEFAULT_ENCODER}, another encoder of segmentation-models-pytorch, "
            "or 'tu-' and the name of a timm model.",
        ) from error
    return module
