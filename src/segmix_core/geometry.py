"""Rectangles in level-0 pixels, and how large a pixel is."""

from collections.abc import Callable
from dataclasses import dataclass
from math import floor, sqrt

import numpy as np
import numpy.typing as npt

MIN_MPP, MAX_MPP = 0.05, 20.0
"""Smallest and largest edge of a pixel in µm, stated by a file or by a person."""


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """A rectangle: ``y``, ``x`` of its first pixel, ``height`` and ``width``.

    In level-0 pixels unless the name of a variable says otherwise. Half-open: the
    last row is ``bottom - 1``.
    """

    y: int
    x: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 0 or self.width < 0:
            raise ValueError(f"The size must be >= 0, not {self.height} x {self.width}")

    @property
    def bottom(self) -> int:
        """First row below the box."""
        return self.y + self.height

    @property
    def right(self) -> int:
        """First column right of the box."""
        return self.x + self.width

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the box in an array of shape (H, W, ...)."""
        return slice(self.y, self.bottom), slice(self.x, self.right)

    def intersect(self, other: "Box") -> "Box":
        """Return the common part; area 0 where there is none."""
        y, x = max(self.y, other.y), max(self.x, other.x)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        return Box(y, x, max(0, bottom - y), max(0, right - x))

    def slices_in(self, outer: "Box") -> tuple[slice, slice]:
        """Index of the box, which lies in ``outer``, in an array of what it covers."""
        return self.moved(-outer.y, -outer.x).slices

    def moved(self, dy: int, dx: int) -> "Box":
        """Return the box shifted by whole pixels."""
        return Box(self.y + dy, self.x + dx, self.height, self.width)

    def grown(self, margin: int) -> "Box":
        """Return the box with ``margin`` more pixels on all sides."""
        more = 2 * margin
        return Box(
            self.y - margin, self.x - margin, self.height + more, self.width + more
        )

    def scaled(self, factor: float) -> "Box":
        """Return the box on a grid with ``factor`` times as many pixels an edge.

        Edges are rounded, not sizes: boxes that touch still touch.
        """
        y, x = _round(self.y * factor), _round(self.x * factor)
        bottom, right = _round(self.bottom * factor), _round(self.right * factor)
        return Box(y, x, bottom - y, right - x)


def read_inside(
    box: Box,
    shape: tuple[int, int],
    read: Callable[[Box], npt.NDArray[np.uint8]],
    outside: int | tuple[int, ...],
) -> npt.NDArray[np.uint8]:
    """Return the pixels of a box that may reach beyond its image.

    Parameters
    ----------
    box
        In the image's own pixels.
    shape
        (height, width) of the image.
    read
        Returns the pixels of a box inside of the image.
    outside
        A pixel where there is no image: one value, or one a channel.

    Returns
    -------
    ndarray
        (h, w) uint8, or (h, w, channels).
    """
    inside = box.intersect(Box(0, 0, *shape))
    if inside == box and box.area:
        return read(box)
    pixel = np.asarray(outside, np.uint8)
    canvas = np.empty((box.height, box.width, *pixel.shape), np.uint8)
    canvas[:] = pixel
    if inside.area:
        canvas[inside.slices_in(box)] = read(inside)
    return canvas


def mean_mpp(yx: tuple[float | None, float | None] | None) -> float | None:
    """Return the geometric mean of µm per pixel down and across; None if unknown.

    Examples
    --------
    >>> mean_mpp((0.5, 0.125)), mean_mpp((0.3, 0.3)), mean_mpp(None)
    (0.25, 0.3, None)
    """
    if yx is None or yx[0] is None or yx[1] is None:
        return None
    return yx[0] if yx[0] == yx[1] else sqrt(yx[0] * yx[1])


def next_multiple(length: int, of: int) -> int:
    """Return the least multiple of ``of`` that is not below ``length``, in pixels."""
    return -(-length // of) * of


def _round(value: float) -> int:
    # Python rounds halves to even, which would open and close seams in turn.
    return floor(value + 0.5)
