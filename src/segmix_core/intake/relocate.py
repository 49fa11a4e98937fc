"""Update the paths of a source after its files have moved."""

import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np

from segmix_core.errors import ProjectError, SlideError
from segmix_core.intake.pixel_size import restated_note
from segmix_core.project.records import ImageRecord, SourceKind
from segmix_core.project.relocation import relocated
from segmix_core.project.store import ProjectStore
from segmix_core.slides.dicom import DICOM_SUFFIXES
from segmix_core.slides.first_look import FirstLook, ImageHeader, Look
from segmix_core.slides.image_folder import list_images


def relocate_source(
    store: ProjectStore, source_id: int, new_path: Path, look: Look | None = None
) -> tuple[str, ...]:
    """Store where the files of a source are now; return notes for the user.

    Reads every header, so it takes as long as adding the files did. If ``new_path`` is
    the stored path, changed files are accepted.

    Parameters
    ----------
    store
        The project.
    source_id
        The source.
    new_path
        Its slide or folder; for a slide, its folder is enough.
    look
        As for :func:`segmix_core.intake.add_paths`.

    Raises
    ------
    ProjectError
        If a file is missing there, cannot be read, or its image has another size;
        nothing is changed then.
    """
    new_path = Path(new_path).absolute()
    source = store.source(source_id)
    images = store.images(source_id)
    if source.kind is SourceKind.SLIDE and new_path.is_dir():
        new_path = _slide_in(new_path, source.path)
    moves = relocated(source, images, new_path)
    headers = _read_headers(images, moves, look)
    stays = all(moves[image.id] == image.path for image in images)
    changed = [image for image in images if _has_other_content(image, moves)]
    notes = _name_notes(images, moves)
    notes += _accepted_notes(changed) if stays else _content_notes(changed)
    # In an unchanged file the size is unchanged too: the user set another one.
    notes += restated_note((image, headers[image.id]) for image in changed)
    with store.atomic():
        if store.images(source_id) != images:
            raise ProjectError(
                f"{source.name} was changed by another program in the meantime.",
                "Relocate it again.",
            )
        store.relocate(source_id, new_path)
        if stays:
            store.accept_files(np.array([image.id for image in changed], np.int64))
    return tuple(notes)


def _slide_in(folder: Path, former: Path) -> Path:
    """Return the slide's file in a folder; the folder itself if that is ambiguous."""
    same = folder / former.name
    if same.exists():
        return same
    if former.suffix.lower() in DICOM_SUFFIXES:
        with suppress(OSError):
            slides = list_images(folder).slides
            if len(slides) == 1:
                return slides[0]
    return folder


def _read_headers(
    images: Sequence[ImageRecord], moves: Mapping[int, Path], look: Look | None
) -> dict[int, ImageHeader]:
    """Return the current headers by image id; ProjectError if sizes differ."""
    headers = {}
    with FirstLook() if look is None else nullcontext(look) as opened:
        paths = [moves[image.id] for image in images]
        for image, header in zip(images, opened.headers(paths), strict=True):
            path = moves[image.id]
            if isinstance(header, SlideError):
                raise _unusable(path, header)
            headers[image.id] = header
        # Unchanged files could be read when they were added.
        new = [moves[i.id] for i in images if not _has_same_content(i, moves)]
        for path, damage in zip(new, opened.damages(new), strict=True):
            if damage is not None:
                raise _unusable(path, damage)
    different = [i for i in images if _size(headers[i.id]) != _size(i)]
    if different:
        first = different[0]
        (height, width), path = _size(headers[first.id]), moves[first.id]
        count = "1 image" if len(different) == 1 else f"{len(different)} images"
        raise ProjectError(
            f"{count} in {path.parent} changed size: {path.name} is {height} x "
            f"{width} pixels (height x width), but the image in the project is "
            f"{first.height} x {first.width}.",
            "Choose the folder of the original images, or add these as new ones.",
        )
    return headers


def _unusable(path: Path, error: SlideError) -> ProjectError:
    return ProjectError(
        f"{path.name} cannot be used at its new path: {error.reason}.", error.hint
    )


def _size(image: ImageRecord | ImageHeader) -> tuple[int, int]:
    return image.height, image.width


def _name_notes(images: Sequence[ImageRecord], moves: Mapping[int, Path]) -> list[str]:
    renamed = [
        (image.path.name, moves[image.id].name)
        for image in images
        if _composed(image.path.name) != _composed(moves[image.id].name)
    ]
    if not renamed:
        return []
    count = "1 file has" if len(renamed) == 1 else f"{len(renamed)} files have"
    return [f"{count} a new name, such as {renamed[0][1]} instead of {renamed[0][0]}."]


def _has_other_content(image: ImageRecord, moves: Mapping[int, Path]) -> bool:
    return image.fingerprint is not None and not _has_same_content(image, moves)


def _has_same_content(image: ImageRecord, moves: Mapping[int, Path]) -> bool:
    known = image.fingerprint
    return known is not None and known.matches(moves[image.id])


def _accepted_notes(changed: Sequence[ImageRecord]) -> list[str]:
    if not changed:
        return []
    count = "1 changed file" if len(changed) == 1 else f"{len(changed)} changed files"
    return [
        f"Accepted {count}, such as {changed[0].path.name}. Labels do not change; "
        "runs that read these images are outdated."
    ]


def _content_notes(changed: Sequence[ImageRecord]) -> list[str]:
    if not changed:
        return []
    count = "1 file has" if len(changed) == 1 else f"{len(changed)} files have"
    return [
        f"{count} changed since being added, such as {changed[0].path.name}. Check "
        "that these are the images that were labeled."
    ]


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
