"""Add the chosen files to the project in one transaction."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from segmix_core.errors import ProjectError, SegmixError
from segmix_core.files import printable
from segmix_core.intake.choice import Choice, TileGroup
from segmix_core.intake.known_images import KnownImages
from segmix_core.intake.left_out import (
    LeftOut,
    left_out_note,
    name_some,
    nothing_added,
)
from segmix_core.intake.options import IntakeOptions, PlannedSource
from segmix_core.intake.tile_plan import plan_tiles
from segmix_core.project.records import Source, SourceKind
from segmix_core.project.store import ProjectStore
from segmix_core.slides.first_look import FirstLook, Look


@dataclass(frozen=True, slots=True)
class IntakeReport:
    """What was added, what was skipped and why, and notes for the user."""

    sources: tuple[Source, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


def add_paths(
    store: ProjectStore,
    paths: Sequence[Path | str],
    *,
    tile_px: int | None = None,
    stride_px: int | None = None,
    mpp: float | None = None,
    slide_mpp: float | None = None,
    min_tissue: float = 0.25,
    look: Look | None = None,
) -> IntakeReport:
    """Add slides, images and folders of tile images to a project.

    Unusable files are skipped and listed; the rest is added in one transaction.

    Parameters
    ----------
    store
        The project.
    paths
        Files and folders; see :mod:`segmix_core.intake` for the rules.
    tile_px, stride_px
        Edge of a slide's tiles and their distance, in pixels of the working
        resolution; 256 and one tile by default. Tile images are never cut.
    mpp
        Working resolution in µm per pixel. By default that of the slide, or 0.5 if its
        pixels are finer than 0.4.
    slide_mpp
        µm per pixel of the images; overrides the sizes in the files.
    min_tissue
        Smallest share of tissue in a tile of a slide, 0..1; other tiles are left out,
        unless none would remain.
    look
        Opens the images in a separate process; by default a new one.

    Raises
    ------
    ProjectError
        If an option is out of range, or there are no paths.
    ProjectError, SlideError
        If nothing can be added: every file is unusable or already in the project.
    JobError
        If the process that opens the images cannot be started.
    """
    store.check_writable()
    if not paths:
        raise ProjectError(
            "There are no files to add.", "Choose at least one file or folder."
        )
    options = IntakeOptions(tile_px, stride_px, mpp, slide_mpp, min_tissue)
    unique = list(dict.fromkeys(Path(path).resolve() for path in paths))
    with FirstLook() if look is None else nullcontext(look) as opened:
        choice = Choice(opened, options, KnownImages(store.images()))
        choice.take(unique)
    return add_choice(store, choice, options)


def add_choice(
    store: ProjectStore, choice: Choice, options: IntakeOptions
) -> IntakeReport:
    """Add the inspected files in one transaction; errors as :func:`add_paths`."""
    with store.atomic():
        return _add(store, choice, options)


def _add(store: ProjectStore, choice: Choice, options: IntakeOptions) -> IntakeReport:
    left_out, notes = choice.left_out, choice.notes
    # Check again: another program may have added some of them meanwhile.
    known = KnownImages(store.images())
    sources, slides = [], []
    for part in choice.parts:
        new = _plan_new(part, known, left_out, options)
        if new is not None:
            sources.append(
                store.add_source(new.kind, new.path, new.name, new.plan, new.images)
            )
            if new.kind is SourceKind.SLIDE:
                slides.append(new)
            else:
                notes += new.notes
    notes += _slide_notes(slides)
    if not sources:
        raise nothing_added(left_out)
    if left_out:
        notes.append(left_out_note(left_out))
    return IntakeReport(tuple(sources), tuple(left_out), tuple(notes))


def _slide_notes(slides: Sequence[PlannedSource]) -> list[str]:
    """Merge equal notes of several slides, and add the names of the slides."""
    paths: dict[str, list[Path]] = {}
    for slide in slides:
        for note in slide.notes:
            paths.setdefault(note, []).append(slide.path)
    return [
        f"{name_some(found)}: {note}"
        + (f" ({len(found)} images)" if len(found) > 1 else "")
        for note, found in paths.items()
    ]


def _plan_new(
    part: PlannedSource | TileGroup,
    known: KnownImages,
    left_out: list[LeftOut],
    options: IntakeOptions,
) -> PlannedSource | None:
    if isinstance(part, PlannedSource):
        (image,) = part.images
        copy = known.find_copy(image.path, image.fingerprint)
        if not known.take(image.path, image.fingerprint, left_out):
            return None
        if copy is None:
            return part
        return replace(part, notes=(*part.notes, _copy_note(image.path, copy)))
    images = [
        image
        for image in part.images
        if known.take(image.header.path, image.fingerprint, left_out)
    ]
    try:
        return plan_tiles(part.path, images, options) if images else None
    except SegmixError as error:
        left_out.append(LeftOut(part.path, error))
        return None


def _copy_note(path: Path, other: Path) -> str:
    name = other.name
    if name == path.name:
        name = f"{other.parent.name}/{name}"
    return (
        f"it seems to be a copy of {printable(name)}, which is in the project. Remove "
        "one of them, or the slide counts twice."
    )
