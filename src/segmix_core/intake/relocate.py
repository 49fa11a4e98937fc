"""Telling a project where its files are now, if they are the same images."""

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from segmix_core.errors import ProjectError
from segmix_core.project.records import ImageRecord
from segmix_core.project.relocation import relocated
from segmix_core.project.store import ProjectStore
from segmix_core.slides.image_folder import read_headers


def relocate_source(
    store: ProjectStore, source_id: int, new_path: Path
) -> tuple[str, ...]:
    """Store where the files of a source are now, and return what the user should know.

    Every header is read, so this takes as long as adding the files did.

    Parameters
    ----------
    store
        The project.
    source_id
        The source.
    new_path
        Its slide or folder.

    Raises
    ------
    ProjectError
        If a file is missing there, cannot be read, or is an image of another size; then
        nothing is changed.
    """
    new_path = Path(new_path).absolute()
    source = next(entry for entry in store.sources() if entry.id == source_id)
    images = store.images(source_id)
    moves = relocated(source, images, new_path)
    _check_sizes(images, moves)
    notes = _name_notes(images, moves) + _content_notes(images, moves)
    with store.atomic():
        if store.images(source_id) != images:
            raise ProjectError(
                f"{source.name} was changed by another program meanwhile.",
                "Relocate it again.",
            )
        store.relocate(source_id, new_path)
    return tuple(notes)


def _check_sizes(images: Sequence[ImageRecord], moves: Mapping[int, Path]) -> None:
    headers = read_headers([moves[image.id] for image in images])
    if headers.failures:
        path, error = headers.failures[0]
        raise ProjectError(
            f"{path.name} cannot be used at its new place: {error.reason}.",
            error.remedy,
        )
    sizes = {header.path: (header.height, header.width) for header in headers.found}
    different = [image for image in images if sizes[moves[image.id]] != _size(image)]
    if different:
        first = different[0]
        (height, width), path = sizes[moves[first.id]], moves[first.id]
        count = "1 image" if len(different) == 1 else f"{len(different)} images"
        raise ProjectError(
            f"{count} at {path.parent} of another size: {path.name} has {height} x "
            f"{width} pixels (height x width), and the project's {first.height} x "
            f"{first.width}.",
            "Choose the place of the images that were added, or add these as others.",
        )


def _size(image: ImageRecord) -> tuple[int, int]:
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
    return [f"{count} another name now, first {renamed[0][1]} for {renamed[0][0]}."]


def _content_notes(
    images: Sequence[ImageRecord], moves: Mapping[int, Path]
) -> list[str]:
    changed = [
        image.path.name
        for image in images
        if image.fingerprint and not image.fingerprint.matches(moves[image.id])
    ]
    if not changed:
        return []
    count = "1 file has" if len(changed) == 1 else f"{len(changed)} files have"
    return [
        f"{count} another content than when added, first {changed[0]}: check that "
        "these are the images that were labelled."
    ]


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
