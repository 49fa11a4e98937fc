"""The settings of pseudo masks as the plain values that masks are made by."""

from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.inference.small_regions import area_in_pixels
from segmix_core.settings import PseudoMaskSettings


def rules_of(settings: PseudoMaskSettings, mpp: float | None) -> PseudoMaskRules:
    """Return the rules for an image.

    ``mpp``: µm per working pixel of the image, None if unknown. Areas in µm² become
    pixels; where they are not set or ``mpp`` is None, the settings in pixels count.
    """
    values = settings.model_dump(exclude={"fit"})
    for region in ("object", "hole"):
        um2, px = values.pop(f"min_{region}_um2"), values[f"min_{region}_px"]
        values[f"min_{region}_px"] = area_in_pixels(um2, px, mpp)
    return PseudoMaskRules(**values)
