"""Options for adding images, and their limits."""

from dataclasses import dataclass
from pathlib import Path

from segmix_core.errors import ProjectError
from segmix_core.geometry import MAX_MPP, MIN_MPP
from segmix_core.project.records import (
    Fingerprint,
    NewImage,
    SourceKind,
    TilingPlan,
)
from segmix_core.slides.first_look import ImageHeader
from segmix_core.slides.tiling import working_downsample

DEFAULT_TILE_PX = 256


@dataclass(frozen=True, slots=True)
class IntakeOptions:
    """How to tile the added images; see :func:`add_paths`."""

    tile_px: int | None = None
    stride_px: int | None = None
    mpp: float | None = None
    slide_mpp: float | None = None
    min_tissue: float = 0.25

    def __post_init__(self) -> None:
        _check_range("a tile edge", self.tile_px, 32, 4096, "pixels")
        _check_range("a stride", self.stride_px, 1, 4096, "pixels")
        _check_range("a pixel size to work at", self.mpp, MIN_MPP, MAX_MPP, "µm")
        _check_range("a pixel size", self.slide_mpp, MIN_MPP, MAX_MPP, "µm")
        _check_range("a share of tissue", self.min_tissue, 0, 1, "")


@dataclass(frozen=True, slots=True)
class LookedAt:
    """A usable image, and the fingerprint of its file."""

    header: ImageHeader
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """What will be added, with notes for the user.

    Notes on a slide do not name it, so that equal notes can be merged.
    """

    kind: SourceKind
    path: Path
    name: str
    plan: TilingPlan
    images: tuple[NewImage, ...]
    notes: tuple[str, ...]


def _check_range(
    name: str, value: float | None, low: float, high: float, unit: str
) -> None:
    if value is not None and not low <= value <= high:
        raise ProjectError(
            f"{value} is not {name} between {low} and {high} {unit}".rstrip() + ".",
            "Choose a value in that range.",
        )


def find_downsample(path: Path, mpp: float | None, wanted: float | None) -> float:
    """Return level-0 pixels per working pixel; 1 if ``wanted`` is None.

    Raises
    ------
    ProjectError
        If ``wanted`` µm per pixel is given and ``mpp`` is unknown.
    """
    if wanted is None:
        return 1.0
    if mpp is None:
        raise ProjectError(
            f"{path.name} cannot be resampled to {wanted} µm per pixel: it does not "
            "state its pixel size.",
            "Pass its µm per pixel (--slide-mpp; often 0.25 for 40x and 0.5 for 20x), "
            "or keep its own resolution.",
        )
    return working_downsample(mpp, wanted)
