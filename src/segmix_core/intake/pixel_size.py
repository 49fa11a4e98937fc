"""Choose the pixel size: the user's before the file's."""

from collections.abc import Iterable, Sequence

from segmix_core.files import printable
from segmix_core.intake.options import IntakeOptions
from segmix_core.project.records import ImageRecord
from segmix_core.slides.first_look import ImageHeader

_SAME = 1.02
"""Sizes that differ by a smaller factor count as equal."""


def choose_mpp(
    header: ImageHeader, options: IntakeOptions
) -> tuple[float | None, float | None]:
    """Return µm per level-0 pixel, down and across; None if unknown."""
    if options.slide_mpp is not None:
        return options.slide_mpp, options.slide_mpp
    return header.mpp_yx or (None, None)


def notes_of(header: ImageHeader, options: IntakeOptions) -> tuple[str, ...]:
    """Return the notes of a file, without those on its size if the user gave one."""
    if options.slide_mpp is None:
        return header.notes
    return tuple(note for note in header.notes if note not in header.size_notes)


def overruled_note(
    headers: Sequence[ImageHeader], options: IntakeOptions
) -> tuple[str, ...]:
    """Return a note if the pixel size of some images is not used."""
    given = options.slide_mpp
    if given is None:
        return ()
    others = [header for header in headers if _differs(header.mpp_yx, given)]
    if not others:
        return ()
    first = others[0]
    stated = _shown(sorted(set(first.mpp_yx or ())))
    more = (
        f", and {len(others) - 1} more images have their own sizes"
        if len(others) > 1
        else ""
    )
    return (f"{first.path.name} states {stated} µm per pixel{more}. {_used(given)}",)


def overruled_slide_note(
    header: ImageHeader, options: IntakeOptions
) -> tuple[str, ...]:
    """Return :func:`overruled_note` of one slide, without its name."""
    given = options.slide_mpp
    if given is None or not _differs(header.mpp_yx, given):
        return ()
    stated = _shown(sorted(set(header.mpp_yx or ())))
    return (f"it states {stated} µm per pixel. {_used(given)}",)


def _used(given: float) -> str:
    return f"The {given:.3g} µm you gave are used instead."


def restated_note(
    images: Iterable[tuple[ImageRecord, ImageHeader]],
) -> tuple[str, ...]:
    """Return a note if the pixel size in some files has changed.

    The project keeps its size, since the user may have set it.
    """
    others = [
        (image, header.mpp_yx)
        for image, header in images
        if header.mpp_yx is not None and _is_restated(image, header.mpp_yx)
    ]
    if not others:
        return ()
    image, (y, x) = others[0]
    kept = "none"
    if image.mpp_y is not None and image.mpp_x is not None:
        kept = _shown(dict.fromkeys((image.mpp_y, image.mpp_x)))
    more = f", and {len(others) - 1} more images do so" if len(others) > 1 else ""
    across = "" if x == y else f" --mpp-x {x:.4g}"
    return (
        f"{printable(image.path.name)} states {_shown(dict.fromkeys((y, x)))} µm per "
        f"pixel now{more}, and the project keeps {kept}. If the file is right, set it "
        f"on the Data page, or by 'segmix set-mpp PROJECT {image.source_id} "
        f"{y:.4g}{across}'.",
    )


def _is_restated(image: ImageRecord, stated: tuple[float, float]) -> bool:
    if image.mpp_y is None or image.mpp_x is None:
        return True
    pairs = zip(stated, (image.mpp_y, image.mpp_x), strict=True)
    return any(_is_other(size, known) for size, known in pairs)


def _is_other(size: float, known: float) -> bool:
    return max(size, known) > _SAME * min(size, known)


def _shown(sizes: Iterable[float]) -> str:
    return " x ".join(f"{size:.3g}" for size in sizes)


def _differs(stated: tuple[float, float] | None, given: float) -> bool:
    if stated is None:
        return False
    return any(_is_other(size, given) for size in stated)
