"""What a tile's pseudo mask is made of."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmix_core.inference.pseudo_masks import make_pseudo_mask
from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.slides.slide import RgbArray


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a tile's mask is made of.

    Attributes
    ----------
    cam
        (C, h, w) >= 0.
    stride
        Working pixels a cell of it; None: it covers exactly ``shape``.
    shape
        (H, W) of the mask.
    labels, probabilities
        (C,): -1, 0, 1 and 0..1.
    rgb
        (H, W, 3) uint8; None where the rules need no pixels.
    shared_foreground
        The maps add up to the foreground; labels say who may have it.
    """

    cam: npt.NDArray[np.float32]
    stride: int | None
    shape: tuple[int, int]
    labels: npt.NDArray[np.int8]
    probabilities: npt.NDArray[np.float32]
    rgb: RgbArray | None
    shared_foreground: bool

    def mask(self, rules: PseudoMaskRules) -> tuple[npt.NDArray[np.uint8], float]:
        """Return the mask (H, W) and its doubt in 0..1."""
        return make_pseudo_mask(
            self.cam,
            self.shape,
            self.labels,
            self.probabilities,
            self.rgb,
            rules=rules,
            stride=self.stride,
            shared_foreground=self.shared_foreground,
        )
