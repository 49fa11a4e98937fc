"""One door to all image files."""

from collections.abc import Callable
from pathlib import Path

from segmix_core.errors import SlideError
from segmix_core.slides.image_reader import open_with_pillow
from segmix_core.slides.openslide_reader import open_with_openslide
from segmix_core.slides.pixels import NotThisFormatError
from segmix_core.slides.slide import Slide
from segmix_core.slides.tiff_reader import open_with_tifffile

# OpenSlide first: it alone knows scanner formats, some of which look like TIFF or
# JPEG (.mrxs is one). tifffile next, for every other TIFF. Pillow for what is left.
_READERS: tuple[tuple[str, Callable[[Path], Slide]], ...] = (
    ("OpenSlide", open_with_openslide),
    ("tifffile", open_with_tifffile),
    ("Pillow", open_with_pillow),
)


def open_slide(path: Path | str) -> Slide:
    """Open a slide or image; close it when done.

    Readings from several threads at once are safe.

    Raises
    ------
    SlideError
        If there is no such file, no reader can open it, or its pixels are not 8-bit
        RGB or grayscale.
    """
    path = Path(path)
    _check_file(path)
    answers = []
    for name, open_with in _READERS:
        try:
            slide = open_with(path)
        except NotThisFormatError as answer:
            answers.append(f"{name}: {answer}")
        except OSError as error:
            answers.append(f"{name}: {error.strerror or error}")
        else:
            return slide
    raise SlideError.unexpected(
        "a slide or an image",
        f"{path.name}, which no reader can open ({'; '.join(answers)})",
        "Export it from its viewer as a pyramidal TIFF or PNG with 8-bit RGB pixels.",
    )


def _check_file(path: Path) -> None:
    if not path.exists():
        remedy = "Check the name, and that its disk or network share is connected."
        raise SlideError.unexpected("an image file", f"no file at {path}", remedy)
    if path.is_dir():
        remedy = "Choose a file in it."
        raise SlideError.unexpected("an image file", f"the folder {path}", remedy)
    if path.stat().st_size == 0:
        remedy = "Copy the file again from its origin."
        raise SlideError.unexpected(
            "an image file", f"{path.name} with 0 bytes", remedy
        )
