"""Pathology encoders by their name on the hub: how they are built, and their terms.

Loads no torch, so that the dock and the command line can tell the terms before any use.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SMALL = "small"
HUB = "hf-hub:"
SCRATCH, DOWNLOAD = "scratch", "download"
"""What ``train.weights`` may say, beside the path of a file."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_BIOPTIMUS_MEAN = (0.707223, 0.578729, 0.703617)
_BIOPTIMUS_STD = (0.211883, 0.230117, 0.177517)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """A published vision transformer for pathology tiles.

    Attributes
    ----------
    architecture
        Name of timm that it is a variant of.
    repository
        Its place on the Hugging Face hub; empty: where timm has it from.
    arguments
        In what it differs from it, as JSON.
    swiglu
        Gated linear units in its blocks (SwiGLU), where the architecture has none.
    mean, std
        Of the RGB images in [0, 1] that it was trained on.
    """

    architecture: str
    repository: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    swiglu: bool = False
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


_ENCODERS = (
    Encoder(
        repository="MahmoodLab/UNI",
        architecture="vit_large_patch16_224",
        arguments={"init_values": 1e-5},
    ),
    Encoder(
        repository="MahmoodLab/UNI2-h",
        architecture="vit_giant_patch14_224",
        arguments={
            "depth": 24,
            "num_heads": 24,
            "embed_dim": 1536,
            "mlp_ratio": 2.66667 * 2,
            "init_values": 1e-5,
            "no_embed_class": True,
            "reg_tokens": 8,
        },
        swiglu=True,
    ),
    Encoder(
        repository="bioptimus/H-optimus-0",
        architecture="vit_giant_patch14_reg4_dinov2",
        arguments={"img_size": 224, "init_values": 1e-5},
        mean=_BIOPTIMUS_MEAN,
        std=_BIOPTIMUS_STD,
    ),
    Encoder(
        repository="bioptimus/H-optimus-1",
        architecture="vit_giant_patch14_reg4_dinov2",
        arguments={"img_size": 224, "init_values": 1e-5},
        mean=_BIOPTIMUS_MEAN,
        std=_BIOPTIMUS_STD,
    ),
    Encoder(
        repository="paige-ai/Virchow",
        architecture="vit_huge_patch14_224",
        arguments={"init_values": 1e-5, "mlp_ratio": 5.3375},
        swiglu=True,
    ),
    Encoder(
        repository="paige-ai/Virchow2",
        architecture="vit_huge_patch14_224",
        arguments={"init_values": 1e-5, "mlp_ratio": 5.3375, "reg_tokens": 4},
        swiglu=True,
    ),
)
ENCODERS = {HUB + encoder.repository: encoder for encoder in _ENCODERS}
"""By the name that ``train.backbone`` takes: ``hf-hub:OWNER/NAME``."""


def find_encoder(name: str) -> Encoder | None:
    """Return the encoder called ``name``, in any case and with either hub prefix."""
    wanted = name.replace("hf_hub:", HUB).casefold()
    for known, encoder in ENCODERS.items():
        if known.casefold() == wanted:
            return encoder
    return None
