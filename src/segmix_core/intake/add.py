"""Adding what was chosen to the project, all or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segmix_core.errors import ProjectError
from segmix_core.intake.options import DEFAULT_TILE_PX, IntakeOptions, PlannedSource
from segmix_core.intake.slide_plan import plan_slide
from segmix_core.intake.tile_plan import plan_folder, plan_tiles
from segmix_core.project.records import Source
from segmix_core.project.store import ProjectStore
from segmix_core.slides.image_folder import SCANNER_SUFFIXES, ImageHeader, read_header


@dataclass(frozen=True, slots=True)
class IntakeReport:
    """What was added, and sentences on what the user should know about it."""

    sources: tuple[Source, ...]
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
) -> IntakeReport:
    """Add slides, images and folders of tile images to a project.

    Parameters
    ----------
    store
        The project.
    paths
        Files and folders; see :mod:`segmix_core.intake` for what becomes what.
    tile_px, stride_px
        Edge of a slide's tiles and their distance, in pixels of the working
        resolution; 256 and one tile by default. Tile images are never cut.
    mpp
        µm per pixel to work at. By default a slide is worked on as it is, or at 0.5 if
        its pixels are finer than 0.4.
    slide_mpp
        µm per pixel of images that do not say so themselves.
    min_tissue
        Tiles of a slide with a smaller share of tissue are left out, 0..1. If that
        leaves none, all are kept.

    Raises
    ------
    ProjectError
        If an option is out of range, a path is in the project already, or ``mpp`` is
        asked of an image whose pixel size nobody knows.
    SlideError
        If a file cannot be used, or the images of a folder are no tiles.
    """
    options = IntakeOptions(tile_px, stride_px, mpp, slide_mpp, min_tissue)
    unique = list(dict.fromkeys(Path(path).resolve() for path in paths))
    planned = []
    small: list[ImageHeader] = []
    for path in unique:
        if path.is_dir():
            planned += plan_folder(path, options)
            continue
        header = read_header(path)
        if _is_slide(header, options):
            planned.append(plan_slide(path, options))
        else:
            small.append(header)
    if small:
        planned.append(plan_tiles(small[0].path.parent, small, options))
    _check_new(store, planned)
    sources = tuple(
        store.add_source(p.kind, p.path, p.name, p.plan, p.images) for p in planned
    )
    return IntakeReport(sources, tuple(note for p in planned for note in p.notes))


def _check_new(store: ProjectStore, planned: Sequence[PlannedSource]) -> None:
    known = {source.path for source in store.sources()}
    known |= {image.path for image in store.images()}
    for plan in planned:
        for path in (image.path for image in plan.images):
            if path in known:
                raise ProjectError.unexpected(
                    "images that are not in the project yet",
                    f"{path.name}, which is in it already",
                    "Leave it out, or start another project to cut it differently.",
                )
            known.add(path)


def _is_slide(header: ImageHeader, options: IntakeOptions) -> bool:
    tile_px = options.tile_px or DEFAULT_TILE_PX
    is_scanned = header.path.suffix.lower() in SCANNER_SUFFIXES
    return is_scanned or max(header.height, header.width) > 2 * tile_px
