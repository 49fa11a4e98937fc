"""List the images in a folder."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segmix_core.errors import SlideError
from segmix_core.slides.dicom import DICOM_SUFFIXES, group_by_slide
from segmix_core.slides.image_reader import IMAGE_SUFFIXES

SCANNER_SUFFIXES = frozenset(
    {".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide", ".czi"}
)
TILE_SUFFIXES = IMAGE_SUFFIXES | frozenset(
    {".tif", ".tiff", ".btf", ".tf2", ".tf8", ".qptiff"}
)
_SUFFIXES = SCANNER_SUFFIXES | DICOM_SUFFIXES | TILE_SUFFIXES
_NO_IMAGE_FOLDERS = (
    ".", "mask", "label", "annot", "ground", "gt", "seg", "truth", "thumb", "overlay",
)  # fmt: skip
"""Prefixes of folders that contain masks and the like."""

_IMAGE_ENDINGS = frozenset(
    {
        ".avif", ".cr2", ".dib", ".dng", ".exr", ".gif", ".heic", ".heif", ".ims",
        ".isyntax", ".j2k", ".jfif", ".jp2", ".jpe", ".jpx", ".jxl", ".jxr", ".lif",
        ".lsm", ".nd2", ".oir", ".pbm", ".pcx", ".pgm", ".pnm", ".ppm", ".psd", ".svg",
        ".tga", ".vsi", ".zvi",
    }
)  # fmt: skip
_IMAGE_STARTS = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"\0\0\0\x0cjP  ",
    b"\xff\x4f\xff\x51",
    b"8BPS",
)
"""PNG, JPEG, GIF, TIFF, BigTIFF, JPEG 2000 and Photoshop."""


@dataclass(frozen=True, slots=True)
class FolderImages:
    """The images in a folder, in natural order.

    Attributes
    ----------
    slides
        Scanner files; for a DICOM slide its first file.
    tiles
        All other images of the formats that are read.
    strangers
        Files that look like images but have an unknown suffix.
    """

    slides: tuple[Path, ...]
    tiles: tuple[Path, ...]
    strangers: tuple[Path, ...]


def list_images(folder: Path) -> FolderImages:
    """List the images in a folder; OSError if it cannot be read."""
    slides, dicom, tiles, strangers = [], [], [], []
    for path in list_files(folder):
        suffix = path.suffix.lower()
        if suffix in SCANNER_SUFFIXES:
            slides.append(path)
        elif suffix in DICOM_SUFFIXES:
            dicom.append(path)
        elif suffix in TILE_SUFFIXES:
            tiles.append(path)
        elif _looks_like_image(path):
            strangers.append(path)
    slides += [files[0] for files in group_by_slide(dicom)]
    return FolderImages(tuple(slides), tuple(tiles), tuple(strangers))


def _looks_like_image(path: Path) -> bool:
    if path.suffix.lower() in _IMAGE_ENDINGS:
        return True
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError:
        return False
    is_dicom = start[128:] == b"DICM"
    return is_dicom or start.startswith(_IMAGE_STARTS) or start[8:12] == b"WEBP"


def list_files(folder: Path) -> list[Path]:
    """Return the files in a folder in natural order, without hidden files."""
    files = (p for p in folder.iterdir() if not p.name.startswith("."))
    return sorted((p for p in files if p.is_file()), key=natural_key)


def folders_with_images(folder: Path) -> list[Path]:
    """Return the subfolders that contain images, in natural order.

    Skips folders named like folders of masks.
    """
    children = (p for p in folder.iterdir() if p.is_dir())
    return [
        child
        for child in sorted(children, key=natural_key)
        if not child.name.lower().startswith(_NO_IMAGE_FOLDERS) and _has_images(child)
    ]


def _has_images(folder: Path) -> bool:
    try:
        return any(path.suffix.lower() in _SUFFIXES for path in list_files(folder))
    except OSError:
        return False


def natural_key(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Return a key that sorts numbers by value: tile_2 before tile_10."""
    parts = re.split(r"([0-9]+)", path.name.lower())
    key = [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
    # The name itself orders "1" and "01".
    return key, path.name


def no_images_error(folder: Path, strangers: Sequence[Path] = ()) -> SlideError:
    """Return the error for a folder without readable images.

    It names ``strangers``, files that look like images, or a subfolder with images.
    """
    if strangers:
        names = ", ".join(path.name for path in strangers[:3])
        return SlideError(
            f"The folder {folder.name} has no images in a supported format, only "
            f"other image files such as {names}.",
            "Save them as PNG or TIFF.",
        )
    hint = "Choose the folder that contains the image files."
    inner = folders_with_images(folder)
    if inner:
        hint = f"Choose its subfolder {inner[0].name}, which contains images."
    return SlideError(
        f"The folder {folder.name} has no images (PNG, JPEG, JPEG 2000, GIF, BMP, "
        "WebP, TIFF or a slide).",
        hint,
    )
