"""Settings of pseudo masks as the values that masks are made by; a warning of one."""

from collections.abc import Callable

import numpy as np

from segmix_core.data.samples import SampleSource
from segmix_core.errors import SlideError
from segmix_core.events import Event, Warned
from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.inference.small_regions import area_in_pixels
from segmix_core.settings import PseudoMaskSettings
from segmix_core.slides.glass import glass_mask

_LOOKED_AT = 64
"""Tiles that tell of all."""
_LITTLE = 0.005
"""Share of the pixels of these tiles."""


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


def warn_of_little_glass(
    settings: PseudoMaskSettings,
    samples: SampleSource,
    emit: Callable[[Event], None],
) -> None:
    """Warn if masks with the background "glass" will have hardly any background.

    Looks at up to 64 tiles, spread evenly; those that cannot be read tell nothing.

    Parameters
    ----------
    settings
        With another background nothing is read.
    samples
        The tiles, with their pixels as they are.
    emit
        Is given the warning.
    """
    if settings.background != "glass" or len(samples.ids) == 0:
        return
    count = min(_LOOKED_AT, len(samples.ids))
    glass = seen = 0
    for row in np.linspace(0, len(samples.ids) - 1, count).round().astype(int).tolist():
        try:
            pixels = samples.read(row).image
        except SlideError:
            continue
        found = glass_mask(pixels)
        glass, seen = glass + int(found.sum()), seen + found.size
    if seen and glass < _LITTLE * seen:
        emit(
            Warned(
                message=f"Only {100 * glass / seen:.2g} % of the pixels of {count} "
                "tiles are glass, so masks will have almost no background. Set the "
                "background to score, or to none if every pixel belongs to a "
                "class."
            )
        )
