"""A slide as a source: its working grid, its tiles, those with tissue."""

from pathlib import Path

from segmix_core.errors import SlideError
from segmix_core.intake.options import (
    DEFAULT_TILE_PX,
    IntakeOptions,
    PlannedSource,
    find_downsample,
)
from segmix_core.intake.tissue import find_slide_tissue, tiles_with_tissue
from segmix_core.project.records import NewImage, SourceKind, TilingPlan
from segmix_core.slides.open_slide import open_slide
from segmix_core.slides.slide import Slide
from segmix_core.slides.tiling import plan_grid

FINE_MPP = 0.4
"""Slides with finer pixels are worked on at ``DEFAULT_MPP`` unless told otherwise."""
DEFAULT_MPP = 0.5
MAX_TILES = 500_000


def plan_slide(path: Path, options: IntakeOptions) -> PlannedSource:
    """Return a slide's tiles with tissue, on its working grid.

    Raises
    ------
    SlideError, ProjectError
        As :func:`segmix_core.intake.add_paths`.
    """
    slide = open_slide(path)
    try:
        mpp = slide.mpp or options.slide_mpp
        wanted = options.mpp
        if wanted is None and mpp is not None and mpp < FINE_MPP:
            wanted = DEFAULT_MPP
        downsample = find_downsample(path, mpp, wanted)
        tile_px = options.tile_px or DEFAULT_TILE_PX
        plan = TilingPlan(tile_px, options.stride_px or tile_px, wanted)
        height, width = slide.level_shapes[0]
        _check_count(path, height * width / downsample**2, plan)
        grid = plan_grid((height, width), downsample, plan)
        tissue = find_slide_tissue(slide, plan, downsample, options.min_tissue)
        keep = tiles_with_tissue(grid, tissue)
        notes = _slide_notes(slide, mpp, wanted, bool(keep.any()))
        grid = grid.take(keep) if keep.any() else grid
        image = NewImage(
            path=path,
            height=height,
            width=width,
            mpp_y=mpp,
            mpp_x=mpp,
            downsample=downsample,
            group=path.stem,
            boxes=grid.boxes,
            rows=grid.rows,
            cols=grid.cols,
            tissue=tissue,
        )
        return PlannedSource(SourceKind.SLIDE, path, path.name, plan, (image,), notes)
    finally:
        slide.close()


def _check_count(path: Path, working_pixels: float, plan: TilingPlan) -> None:
    count = working_pixels / plan.stride_px**2
    if count > MAX_TILES:
        raise SlideError.unexpected(
            f"at most {MAX_TILES:,} tiles in a slide",
            f"about {count:,.0f} in {path.name}",
            "Choose larger tiles, a larger stride, or more µm per pixel.",
        )


def _slide_notes(
    slide: Slide, mpp: float | None, wanted: float | None, has_tissue: bool
) -> tuple[str, ...]:
    name = slide.path.name
    notes = [f"{name}: {note}" for note in slide.notes]
    if mpp is None:
        notes.append(
            f"{name} does not say how large its pixels are, so sizes in micrometres "
            "stay unknown; add it with its µm per pixel (--slide-mpp) to know them."
        )
    elif wanted is not None and wanted < mpp / 1.02:
        notes.append(
            f"{name} has pixels of {mpp:.3g} µm, coarser than the {wanted:.3g} µm "
            "asked for; it is worked on as it is."
        )
    if not has_tissue:
        notes.append(f"{name}: no tissue was found, so all its tiles were kept.")
    return tuple(notes)
