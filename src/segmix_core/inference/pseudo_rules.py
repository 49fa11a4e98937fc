"""How class activation maps become pseudo masks, as plain values."""

from dataclasses import dataclass
from typing import Literal, get_args

Background = Literal["none", "score", "glass"]
Normalisation = Literal["class", "joint"]
Refinement = Literal["none", "superpixels", "random-walker"]


@dataclass(frozen=True, slots=True)
class PseudoMaskRules:
    """How CAMs become masks; the fields of the settings of the same name.

    Parameters
    ----------
    background
        "none": every pixel gets a class. "score": background competes with a constant
        score. "glass": bright grey pixels are background.
    background_score
        0..1, on the scale of normalised CAMs; used by "score".
    gate
        0..1: probability a class of unknown label needs to take part; one for all
        classes, or one for each of the C.
    normalisation
        "class": every map by its own maximum. "joint": all by their common maximum.
    margin
        0..1: pixels whose two best scores are closer are ignored.
    min_object_px
        Connected regions with fewer pixels are ignored, once holes are filled.
    min_hole_px
        Smaller gaps in a class become that class.
    refinement
        "superpixels", "random-walker": the pixels of the tile draw the edges; see
        :mod:`segmix_core.inference.refinement`.
    superpixel_px, superpixel_share
        Mean area, and the share of the votes that wins one.
    walker_seeds, walker_beta
        Share of each value's pixels that the walk starts from; how edges hinder it.
    """

    background: Background = "glass"
    background_score: float = 0.30
    gate: float | tuple[float, ...] = 0.50
    normalisation: Normalisation = "joint"
    margin: float = 0.05
    min_object_px: int = 64
    min_hole_px: int = 0
    refinement: Refinement = "none"
    superpixel_px: int = 50
    superpixel_share: float = 0.6
    walker_seeds: float = 0.5
    walker_beta: float = 130.0

    @property
    def needs_rgb(self) -> bool:
        """Whether the pixels of the tile take part."""
        return self.background == "glass" or self.refinement != "none"

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"Unknown {name} {getattr(self, name)!r}")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Expected {name} in 0..1, got {getattr(self, name)}")
        gates = self.gate if isinstance(self.gate, tuple) else (self.gate,)
        if not all(0 <= gate <= 1 for gate in gates):
            raise ValueError(f"Expected gate in 0..1, got {self.gate}")
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise ValueError(
                    f"Expected {name} >= {least}, got {getattr(self, name)}"
                )


_CHOICES = {
    "background": get_args(Background),
    "normalisation": get_args(Normalisation),
    "refinement": get_args(Refinement),
}
_SHARES = ("background_score", "margin", "superpixel_share", "walker_seeds")
_LEAST = {"min_object_px": 0, "min_hole_px": 0, "superpixel_px": 1, "walker_beta": 0}
