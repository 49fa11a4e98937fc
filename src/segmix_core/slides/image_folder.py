"""Which images lie in a folder, and what their headers say."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segmix_core.errors import SlideError
from segmix_core.geometry import Box
from segmix_core.slides.image_reader import IMAGE_SUFFIXES
from segmix_core.slides.open_slide import open_slide
from segmix_core.slides.pixel_size import mean_mpp

SCANNER_SUFFIXES = frozenset(
    {".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide", ".czi"}
)
TILE_SUFFIXES = IMAGE_SUFFIXES | frozenset(
    {".tif", ".tiff", ".btf", ".tf2", ".tf8", ".qptiff"}
)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What is known of an image without its pixels; see ``Slide``."""

    path: Path
    height: int
    width: int
    mpp_yx: tuple[float, float] | None
    bounds: Box | None
    identity: str | None
    notes: tuple[str, ...]

    @property
    def mpp(self) -> float | None:
        """Geometric mean of ``mpp_yx``, in µm."""
        return mean_mpp(self.mpp_yx)


@dataclass(frozen=True, slots=True)
class Headers:
    """Headers of the images that can be read, and the errors of the others."""

    found: tuple[ImageHeader, ...]
    failures: tuple[tuple[Path, SlideError], ...]


def read_header(path: Path) -> ImageHeader:
    """Return what an image's header says.

    Raises
    ------
    SlideError
        As :func:`~segmix_core.slides.open_slide.open_slide`.
    """
    slide = open_slide(path)
    try:
        height, width = slide.level_shapes[0]
        return ImageHeader(
            path,
            height,
            width,
            slide.mpp_yx,
            slide.bounds,
            slide.identity,
            slide.notes,
        )
    finally:
        slide.close()


def read_headers(paths: Sequence[Path]) -> Headers:
    """Return the headers of many images, whether or not all can be read."""
    found, failures = [], []
    for path in paths:
        try:
            found.append(read_header(path))
        except SlideError as error:
            failures.append((path, error))
    return Headers(tuple(found), tuple(failures))


def list_files(folder: Path) -> list[Path]:
    """Return the files in a folder in natural order; hidden files are left out."""
    files = (p for p in folder.iterdir() if not p.name.startswith("."))
    return sorted((p for p in files if p.is_file()), key=natural_key)


def natural_key(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Return a key that sorts numbers by value: tile_2 before tile_10."""
    parts = re.split(r"([0-9]+)", path.name.lower())
    key = [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
    # The name itself settles "1" and "01".
    return key, path.name


def no_images_error(folder: Path) -> SlideError:
    """Return the error for a folder without images, naming a subfolder with some."""
    remedy = "Choose the folder in which the image files lie."
    for child in sorted(p for p in folder.iterdir() if p.is_dir()):
        is_ours = not child.name.lower().startswith(("mask", "."))
        if is_ours and any(
            f.suffix.lower() in TILE_SUFFIXES for f in list_files(child)
        ):
            remedy = f"Choose the folder {child.name} in it, which has images."
            break
    return SlideError(
        f"The folder {folder.name} has no images (PNG, JPEG, JPEG 2000, GIF, BMP, "
        "WebP, TIFF or a slide).",
        remedy,
    )
