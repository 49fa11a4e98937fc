"""Find out what to ask the user before images are added."""

from collections.abc import Sequence
from pathlib import Path

from segmix_core.errors import SlideError
from segmix_core.intake.choice import is_slide
from segmix_core.slides.first_look import Look


def slides_without_mpp(
    look: Look, paths: Sequence[Path], tile_px: int | None
) -> tuple[Path, ...]:
    """Return the files that become slides and do not state their µm per pixel.

    Skips unusable files, which are reported when they are added, and folders.

    Parameters
    ----------
    look
        Opens the files. One that caches headers saves reading them again when they
        are added.
    paths, tile_px
        As for :func:`segmix_core.intake.add_paths`.

    Raises
    ------
    JobError
        If the process that opens files cannot be started.
    """
    files = [path.resolve() for path in paths if path.is_file()]
    return tuple(
        header.path
        for header in look.headers(files)
        if not isinstance(header, SlideError)
        and header.mpp is None
        and is_slide(header, tile_px)
    )
