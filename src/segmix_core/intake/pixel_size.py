"""Whose word counts on the size of a pixel: the user's, then the file's."""

from collections.abc import Sequence

from segmix_core.intake.options import IntakeOptions
from segmix_core.slides.first_look import ImageHeader

_SAME = 1.02
"""Sizes that differ by a smaller factor are one size."""


def choose_mpp(
    header: ImageHeader, options: IntakeOptions
) -> tuple[float | None, float | None]:
    """Return µm per level-0 pixel, down and across; None if nobody knows."""
    if options.slide_mpp is not None:
        return options.slide_mpp, options.slide_mpp
    return header.mpp_yx or (None, None)


def overruled_note(
    headers: Sequence[ImageHeader], options: IntakeOptions
) -> tuple[str, ...]:
    """Return a sentence on the images whose own pixel size is not used, if any."""
    given = options.slide_mpp
    if given is None:
        return ()
    others = [header for header in headers if _differs(header.mpp_yx, given)]
    if not others:
        return ()
    first = others[0]
    stated = " x ".join(f"{size:.3g}" for size in sorted(set(first.mpp_yx or ())))
    more = (
        f", and {len(others) - 1} more images have their own sizes"
        if len(others) > 1
        else ""
    )
    return (
        f"{first.path.name} states {stated} µm per pixel{more}. The {given:.3g} µm "
        "you gave are used instead.",
    )


def _differs(stated: tuple[float, float] | None, given: float) -> bool:
    if stated is None:
        return False
    return any(max(size, given) > _SAME * min(size, given) for size in stated)
