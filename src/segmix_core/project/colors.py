"""Class colours that people with any colour vision can tell apart."""

import colorsys
import re

# Okabe & Ito, "Color Universal Design" (2008), without black (H&E nuclei are dark);
# ordered so that the first ones differ most on pink and purple tissue.
_OKABE_ITO = (
    "#56b4e9",
    "#e69f00",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
)
_HUE_STEP = 0.6180339887498949
"""Golden ratio: every new hue falls into the largest gap of the earlier ones."""
_LIGHTNESS = (0.35, 0.75, 0.55)
"""Steps of lightness are seen with any colour vision."""


def default_color(position: int) -> str:
    """Return the colour "#rrggbb" of the class at ``position`` (from 0).

    The first seven are Okabe and Ito's; later ones step through hue and lightness and
    are all different up to the largest number of classes.
    """
    if position < len(_OKABE_ITO):
        return _OKABE_ITO[position]
    step = position - len(_OKABE_ITO)
    hue = (0.08 + step * _HUE_STEP) % 1
    lightness = _LIGHTNESS[step % len(_LIGHTNESS)]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.75)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def is_color(text: str) -> bool:
    """Return whether ``text`` is a colour of the form "#rrggbb"."""
    return re.fullmatch(r"#[0-9a-fA-F]{6}", text) is not None
