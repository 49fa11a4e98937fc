"""Show a slide upright, following its orientation tag."""

from pathlib import Path

import numpy as np

from segmix_core.geometry import Box, mean_mpp
from segmix_core.slides.slide import RgbArray, Slide

UPRIGHT = 1
# The eight values of TIFF's tag 274 and of EXIF: whether rows and columns change
# places, then whether the result is flipped top to bottom, then left to right.
_TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def show_upright(slide: Slide, orientation: int) -> Slide:
    """Apply an orientation tag to a slide; returns the same slide if it is upright.

    Values that TIFF 6.0 does not define count as upright, as in libtiff and Pillow.
    """
    if orientation == UPRIGHT or orientation not in _TURNS:
        return slide
    return TurnedSlide(slide, orientation)


class TurnedSlide:
    """A slide whose stored pixels are turned or mirrored while they are read."""

    def __init__(self, slide: Slide, orientation: int) -> None:
        self._slide = slide
        self._swap, self._flip_y, self._flip_x = _TURNS[orientation]
        shapes = slide.level_shapes
        self.level_shapes = tuple((w, h) for h, w in shapes) if self._swap else shapes
        size = slide.mpp_yx
        self.mpp_yx = size[::-1] if size is not None and self._swap else size
        self.mpp = mean_mpp(self.mpp_yx)
        self.bounds = None if slide.bounds is None else self._shown(slide.bounds)
        self.identity = slide.identity
        self.size_notes = slide.size_notes

    @property
    def path(self) -> Path:
        """The file."""
        return self._slide.path

    @property
    def notes(self) -> tuple[str, ...]:
        """See :class:`~segmix_core.slides.slide.Slide`."""
        return self._slide.notes

    def read_level(self, level: int, box: Box) -> RgbArray:
        """Return (H, W, 3) pixels of ``box``, in pixels of ``level``."""
        pixels = self._slide.read_level(level, self._stored(level, box))
        if self._swap:
            pixels = pixels.swapaxes(0, 1)
        if self._flip_y:
            pixels = pixels[::-1]
        if self._flip_x:
            pixels = pixels[:, ::-1]
        return np.ascontiguousarray(pixels)

    def close(self) -> None:
        """Close the file."""
        self._slide.close()

    def _stored(self, level: int, box: Box) -> Box:
        """Return where a box of the upright picture lies in the stored one."""
        box = self._flipped(box, self.level_shapes[level])
        return _swapped(box) if self._swap else box

    def _shown(self, box: Box) -> Box:
        """Return where a box of the stored level 0 lies in the upright one."""
        box = _swapped(box) if self._swap else box
        return self._flipped(box, self.level_shapes[0])

    def _flipped(self, box: Box, shape: tuple[int, int]) -> Box:
        y = shape[0] - box.bottom if self._flip_y else box.y
        x = shape[1] - box.right if self._flip_x else box.x
        return Box(y, x, box.height, box.width)


def _swapped(box: Box) -> Box:
    return Box(box.x, box.y, box.width, box.height)
