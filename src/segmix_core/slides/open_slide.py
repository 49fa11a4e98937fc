"""Open an image file of any supported format."""

from collections.abc import Callable
from pathlib import Path

from segmix_core.disk_errors import reason_of
from segmix_core.errors import SlideError
from segmix_core.slides.image_reader import open_with_pillow
from segmix_core.slides.openslide_reader import open_with_openslide
from segmix_core.slides.pixels import COPY_AGAIN, NotThisFormatError, reading
from segmix_core.slides.slide import Slide
from segmix_core.slides.tiff_reader import open_with_tifffile

# OpenSlide first: only it knows the scanner formats, some of which look like TIFF or
# JPEG (such as .mrxs). tifffile next, for all other TIFFs. Pillow for the rest.
_READERS: tuple[Callable[[Path], Slide], ...] = (
    open_with_openslide,
    open_with_tifffile,
    open_with_pillow,
)


def open_slide(path: Path | str) -> Slide:
    """Open a slide or image; close it when done.

    Thread-safe.

    Raises
    ------
    SlideError
        If there is no such file, its format is not supported, its reader refuses it, or
        its pixels are not 8-bit RGB or grayscale.
    """
    path = Path(path)
    _check_file(path)
    for open_with in _READERS:
        try:
            with reading(path, f"{path.name} cannot be opened"):
                return open_with(path)
        except NotThisFormatError:
            continue
    raise SlideError(
        f"{path.name} is not a slide or image that SegMix can read.",
        "Export it from its viewer as a pyramidal TIFF or PNG with 8-bit RGB pixels.",
    )


def _check_file(path: Path) -> None:
    with reading(path, f"{path.name} cannot be opened"):
        if not path.exists():
            hint = "Check the name and that its disk or network share is connected."
            raise SlideError(f"{path} does not exist.", hint)
        if path.is_dir():
            raise SlideError(f"{path} is a folder.", "Choose a file in this folder.")
        if not path.is_file():
            # Reading from a pipe would block forever.
            raise SlideError(f"{path} is not a file.", "Choose an image file.")
        try:
            with path.open("rb") as file:
                start = file.read(1)
        except OSError as error:
            raise SlideError(
                f"{path.name} cannot be opened: {reason_of(error)}.",
                "Check its permissions and that its disk is connected.",
            ) from error
    if not start:
        raise SlideError(f"{path.name} is empty (0 bytes).", COPY_AGAIN)
