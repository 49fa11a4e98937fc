"""Check the shapes of pyramid levels."""

from pathlib import Path

from segmix_core.errors import SlideError
from segmix_core.slides.pixels import COPY_AGAIN

_MAX_EDGE = 1 << 22
"""Longest edge of a slide in pixels; ten times that of the largest scans."""
_SHARE, _SLACK = 0.1, 4
"""Allowed deviation of a level from the aspect ratio of level 0: relative, and in
pixels."""


def is_smaller_copy(shape: tuple[int, int], largest: tuple[int, int]) -> bool:
    """Return whether a level has the proportions of the largest one.

    A damaged header can state levels a million pixels long, which would be read whole.
    Scanners round, and some pad, so a deviation of a tenth is allowed.

    Examples
    --------
    >>> is_smaller_copy((150, 140), (300, 280)), is_smaller_copy((150, 900), (300, 280))
    (True, False)
    """
    height, width = shape
    if not (0 < height <= largest[0] and 0 < width <= largest[1]):
        return False
    expected = largest[1] * height / largest[0]
    return abs(width - expected) <= max(_SLACK, _SHARE * width)


def check_edges(path: Path, shape: tuple[int, int]) -> None:
    """Check that level 0 has pixels, and rows short enough to be read one by one.

    Raises
    ------
    SlideError
        If an edge is 0 or longer than 4,194,304 pixels.
    """
    if min(shape) < 1 or max(shape) > _MAX_EDGE:
        raise SlideError(
            f"{path.name} has a damaged header, which claims {shape[0]:,} x "
            f"{shape[1]:,} pixels.",
            COPY_AGAIN,
        )


def unused_levels_note(count: int) -> tuple[str, ...]:
    """Return the note on levels that are left out; none for 0."""
    if count == 0:
        return ()
    return (
        f"Pyramid levels that do not match the largest one were skipped ({count}).",
    )
