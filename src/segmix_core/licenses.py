"""Under which license the published weights of a backbone or encoder are.

Loads no torch: the dock and the command line tell it before any use. It says what the
publishers' pages said when this was written; theirs is the word that counts.
"""

from dataclasses import dataclass

from segmix_core.encoders import HUB, SMALL, find_encoder


@dataclass(frozen=True, slots=True)
class License:
    """A license by its name, and what else there is to know."""

    name: str
    terms: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.terms})" if self.terms else self.name


UNKNOWN = License("unknown", "see the model card")
_RESEARCH = License(
    "CC BY-NC-ND 4.0",
    "non-commercial academic research only; access to the weights on request",
)
_ENCODERS = {
    "MahmoodLab/UNI": _RESEARCH,
    "MahmoodLab/UNI2-h": _RESEARCH,
    "bioptimus/H-optimus-0": License(
        "Apache 2.0", "access to the weights may need a request"
    ),
    "bioptimus/H-optimus-1": _RESEARCH,
    "paige-ai/Virchow": License("Apache 2.0", "access to the weights on request"),
    "paige-ai/Virchow2": _RESEARCH,
}
_TIMM = {
    "Apache 2.0": (
        "convnext_tiny",
        "densenet121",
        "efficientnet_b0",
        "mobilenetv3_small_100",
        "resnet18",
        "resnet34",
        "resnet50",
        "vit_base_patch16_224",
        "vit_small_patch14_dinov2",
        "vit_small_patch16_224",
        "vit_tiny_patch16_224",
        "wide_resnet50_2",
    ),
    "DINOv3 License": ("vit_base_patch16_dinov3", "vit_small_patch16_dinov3"),
}
KNOWN = {name: License(text) for text, names in _TIMM.items() for name in names}
"""Common networks of timm; the others have theirs in timm's own records."""


def find_license(backbone: str) -> License | None:
    """Return the license of a backbone's published weights; None if it has none.

    ``UNKNOWN`` for networks of timm that are not common.
    """
    if backbone == SMALL:
        return None
    encoder = find_encoder(backbone)
    if encoder is not None:
        return _ENCODERS[encoder.repository]
    return KNOWN.get(backbone, UNKNOWN)


def weights_of_encoder(encoder: str) -> str:
    """Return what the published weights of a segmenter's encoder are known by.

    Parameters
    ----------
    encoder
        A name of segmentation-models-pytorch, or "tu-" and a name of timm.

    Examples
    --------
    >>> weights_of_encoder("tu-resnet18"), weights_of_encoder("resnet18")
    ('resnet18', 'smp-hub/resnet18.imagenet')
    """
    name = encoder.removeprefix("tu-")
    return name if name != encoder else f"smp-hub/{encoder}.imagenet"


def license_note(backbone: str, license: License | None) -> str:
    """Return a sentence for people; empty where there is nothing to tell."""
    if license is None:
        return ""
    name = backbone.removeprefix(HUB)
    return f"License of the published weights of {name}: {license}."
