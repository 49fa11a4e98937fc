"""How class activation maps become pseudo masks, as plain values."""

from dataclasses import dataclass
from typing import Literal, get_args

Background = Literal["none", "score", "glass"]
Normalization = Literal["class", "joint"]


@dataclass(frozen=True, slots=True)
class PseudoMaskRules:
    """How CAMs become masks; the fields of the settings of the same name.

    Parameters
    ----------
    background
        "none": every pixel gets a class. "score": background competes with a constant
        score. "glass": bright gray pixels are background.
    background_score
        0..1, on the scale of normalized CAMs; used by "score".
    gate
        0..1: probability a class of unknown label needs to take part; one for all
        classes, or one for each of the C.
    normalization
        "class": every map by its own maximum. "joint": all by their common maximum.
    margin
        0..1: pixels whose two best scores are closer are ignored.
    min_object_px
        Connected regions with fewer pixels are ignored, once holes are filled.
    min_hole_px
        Smaller gaps in a class become that class.
    """

    background: Background = "glass"
    background_score: float = 0.30
    gate: float | tuple[float, ...] = 0.50
    normalization: Normalization = "joint"
    margin: float = 0.05
    min_object_px: int = 64
    min_hole_px: int = 0

    @property
    def needs_rgb(self) -> bool:
        """Whether the pixels of the tile take part."""
        return self.background == "glass"

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
        for name in _SIZES:
            if getattr(self, name) < 0:
                raise ValueError(f"Expected {name} >= 0, got {getattr(self, name)}")


_CHOICES = {
    "background": get_args(Background),
    "normalization": get_args(Normalization),
}
_SHARES = ("background_score", "margin")
_SIZES = ("min_object_px", "min_hole_px")
