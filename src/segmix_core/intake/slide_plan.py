"""Plan a slide: its working grid, and its tiles with tissue."""

from math import ceil
from pathlib import Path

from segmix_core.errors import SlideError
from segmix_core.files import image_stem
from segmix_core.geometry import mean_mpp
from segmix_core.intake.options import (
    DEFAULT_TILE_PX,
    IntakeOptions,
    LookedAt,
    PlannedSource,
    find_downsample,
)
from segmix_core.intake.pixel_size import choose_mpp, notes_of, overruled_slide_note
from segmix_core.intake.tissue import smallest_edge, tiles_with_tissue
from segmix_core.project.records import (
    NewImage,
    SourceKind,
    TilingPlan,
    Tissue,
)
from segmix_core.slides.first_look import ImageHeader, Look
from segmix_core.slides.tiling import plan_grid

FINE_MPP = 0.4
"""Slides with finer pixels are worked on at ``DEFAULT_MPP`` by default."""
DEFAULT_MPP = 0.5
MAX_TILES = 500_000
MAX_OVERLAPS = 64
"""Most tiles over one pixel if there are more than ``MANY_TILES``."""
MANY_TILES = 5000
MOST_DOUBTFUL = 0.05
"""Share of a slide that looks stained but is left out, above which a note is given."""


def plan_slide(look: Look, found: LookedAt, options: IntakeOptions) -> PlannedSource:
    """Plan a slide's tiles with tissue on its working grid.

    Raises
    ------
    SlideError, ProjectError
        As :func:`segmix_core.intake.add_paths`.
    """
    header, path = found.header, found.header.path
    mpp_yx = choose_mpp(header, options)
    mpp = mean_mpp(mpp_yx)
    wanted = options.mpp
    if wanted is None and mpp is not None and mpp < FINE_MPP:
        wanted = DEFAULT_MPP
    downsample = find_downsample(path, mpp, wanted)
    tile_px = options.tile_px or DEFAULT_TILE_PX
    plan = TilingPlan(tile_px, options.stride_px or tile_px, wanted)
    height, width = header.height, header.width
    _check_count(path, height * width / downsample**2, plan)
    grid = plan_grid((height, width), downsample, plan)
    seen = look.tissue(path, smallest_edge(plan, downsample))
    tissue = Tissue(seen.mask, seen.downsample, options.min_tissue)
    keep = tiles_with_tissue(grid, tissue)
    notes = _slide_notes(header, options, wanted)
    notes += _tissue_notes(bool(keep.any()), seen.doubtful)
    grid = grid.take(keep) if keep.any() else grid
    image = NewImage(
        path=path,
        height=height,
        width=width,
        mpp_y=mpp_yx[0],
        mpp_x=mpp_yx[1],
        downsample=downsample,
        group=image_stem(path),
        boxes=grid.boxes,
        rows=grid.rows,
        cols=grid.cols,
        fingerprint=found.fingerprint,
        bounds=header.bounds,
        tissue=tissue,
    )
    return PlannedSource(SourceKind.SLIDE, path, path.name, plan, (image,), notes)


def _check_count(path: Path, working_pixels: float, plan: TilingPlan) -> None:
    count = working_pixels / plan.stride_px**2
    if count > MAX_TILES:
        raise SlideError(
            f"{path.name} would have about {count:,.0f} tiles; a slide can have at "
            f"most {MAX_TILES:,}.",
            "Choose larger tiles, a larger stride, or more µm per pixel.",
        )
    overlaps = (plan.tile_px / plan.stride_px) ** 2
    if overlaps > MAX_OVERLAPS and count > MANY_TILES:
        least = ceil(plan.tile_px / MAX_OVERLAPS**0.5)
        raise SlideError(
            f"{path.name} would have about {count:,.0f} tiles, and each pixel would "
            f"lie in about {overlaps:,.0f} of them.",
            f"Choose a stride of at least {least} pixels.",
        )


def _slide_notes(
    header: ImageHeader, options: IntakeOptions, wanted: float | None
) -> tuple[str, ...]:
    mpp = mean_mpp(choose_mpp(header, options))
    notes = [*notes_of(header, options), *overruled_slide_note(header, options)]
    if mpp is None:
        reasons = " ".join(header.size_notes) or (
            "it does not state its pixel size, so sizes in micrometers are unknown."
        )
        notes = [note for note in notes if note not in header.size_notes]
        notes.append(f"{reasons} Set it with 'segmix set-mpp' or on the Data page.")
    elif wanted is not None and wanted < mpp / 1.02:
        notes.append(
            f"it has pixels of {mpp:.3g} µm, coarser than the {wanted:.3g} µm asked "
            "for; it is worked on as it is."
        )
    return tuple(notes)


def _tissue_notes(has_tissue: bool, doubtful: float) -> tuple[str, ...]:
    if not has_tissue:
        return ("no tissue was found, so all its tiles were kept.",)
    if doubtful < MOST_DOUBTFUL:
        return ()
    return (
        f"{doubtful:.0%} of its area looks stained but was taken for glass. See it "
        "with 'Show tissue' on the Data page or 'segmix tissue', and correct it there.",
    )
