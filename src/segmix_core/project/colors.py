"""Class colours that people with any colour vision can tell apart."""

import colorsys
import re

# The first seven are Okabe & Ito's, "Color Universal Design" (2008), without black
# (H&E nuclei are dark). Each of the others is, of a grid of colours, the one farthest
# in CIELAB from those before it, from white, black and eosin pink: in the worst of
# normal, protan, deutan and tritan vision (Machado et al. 2009, severity 1).
_PALETTE = [
    "#56b4e9",
    "#e69f00",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#8800ff",
    "#663311",
    "#444455",
    "#00ff88",
    "#bb55ff",
    "#ff0055",
    "#3333bb",
    "#aaeebb",
    "#662277",
    "#994400",
    "#667744",
    "#885588",
    "#aabb55",
    "#77bb77",
    "#dd00bb",
    "#114433",
    "#ccee66",
    "#ddccff",
    "#9999ff",
    "#cc9999",
    "#552299",
    "#7777dd",
    "#7744ee",
    "#aa0066",
    "#eebb99",
]
_HUE_STEP = 0.6180339887498949
"""Golden ratio: every new hue falls into the largest gap of the earlier ones."""
_LIGHTNESS = (0.35, 0.75, 0.55)
"""Steps of lightness are seen with any colour vision."""


def default_color(position: int) -> str:
    """Return the colour "#rrggbb" of the class at ``position`` (from 0).

    The first 32 can be told apart with any colour vision; later ones step through hue
    and lightness and are all different up to the largest number of classes.
    """
    if position < len(_PALETTE):
        return _PALETTE[position]
    step = position - len(_PALETTE)
    hue = (0.08 + step * _HUE_STEP) % 1
    lightness = _LIGHTNESS[step % len(_LIGHTNESS)]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.75)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def is_color(text: str) -> bool:
    """Return whether ``text`` is a colour of the form "#rrggbb"."""
    return re.fullmatch(r"#[0-9a-fA-F]{6}", text) is not None
