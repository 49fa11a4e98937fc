"""The interface of all slide readers."""

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box

RgbArray = npt.NDArray[np.uint8]
"""(H, W, 3), 0..255."""


class Slide(Protocol):
    """An open image with levels; level 0 is the largest."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def mpp_yx(self) -> tuple[float, float] | None:
        """µm per level-0 pixel, down and across; None if the file does not say.

        Equal where they differ by less than 2 %.
        """

    @property
    def mpp(self) -> float | None:
        """Geometric mean of ``mpp_yx``."""

    @property
    def level_shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of each level, in its own pixels."""

    @property
    def bounds(self) -> Box | None:
        """The part that was scanned, in level-0 pixels; None if it is all."""

    @property
    def identity(self) -> str | None:
        """Equal for two files of one slide; None if the format has no identifier."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on what was changed or ignored, such as an alpha channel."""

    @property
    def size_notes(self) -> tuple[str, ...]:
        """The ``notes`` about the pixel size."""

    def read_level(self, level: int, box: Box) -> RgbArray:
        """Return the pixels of ``box``, which is in pixels of ``level``.

        (H, W, 3) uint8 RGB; white outside the image.
        """

    def close(self) -> None:
        """Close the file; reading afterwards is an error."""
