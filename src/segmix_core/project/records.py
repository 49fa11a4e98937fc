"""What a project knows, as values."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum, unique
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box

BACKGROUND = 0
IGNORE_INDEX = 255
"""Class index of pixels that take no part in training or scores."""
UNTOUCHED = 254
"""Value of a correction pixel that nobody has corrected."""
MAX_CLASSES = 250


@unique
class LabelState(IntEnum):
    """What is known of a class in a tile."""

    UNKNOWN = -1
    ABSENT = 0
    PRESENT = 1


@unique
class SourceKind(StrEnum):
    """Where tiles come from."""

    SLIDE = "slide"
    FOLDER = "folder"


@unique
class Review(IntEnum):
    """What a person has said of a tile's mask."""

    NONE = 0
    ACCEPTED = 1
    CORRECTED = 2


@dataclass(frozen=True, slots=True)
class TissueClass:
    """A class: index 1..C as stored in masks, name, and colour "#rrggbb"."""

    index: int
    name: str
    color: str


@dataclass(frozen=True, slots=True)
class TilingPlan:
    """How images are cut: tile and stride in working pixels at ``mpp`` µm per pixel.

    ``mpp`` None means the image's own level-0 pixels.
    """

    tile_px: int
    stride_px: int
    mpp: float | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Something the user added: one slide, or a folder of tile images."""

    id: int
    kind: SourceKind
    path: Path
    name: str
    plan: TilingPlan


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image file of a source.

    ``height`` and ``width`` are level-0 pixels, ``mpp`` µm per level-0 pixel, and
    ``downsample`` level-0 pixels per working pixel (>= 1). Masks live on the working
    grid, whose shape is :attr:`working_shape`.
    """

    id: int
    source_id: int
    path: Path
    height: int
    width: int
    mpp: float | None
    downsample: float
    group: str
    split: str

    @property
    def working_shape(self) -> tuple[int, int]:
        """Height and width of the working grid, in pixels."""
        box = Box(0, 0, self.height, self.width).scaled(1 / self.downsample)
        return box.height, box.width

    @property
    def working_mpp(self) -> float | None:
        """µm per pixel of the working grid, or None if unknown."""
        return None if self.mpp is None else self.mpp * self.downsample


@dataclass(frozen=True, slots=True)
class TileTable:
    """All tiles of some images as columns; row i is one tile.

    Attributes
    ----------
    ids, image_ids, rows, cols
        (N,) int64; ``rows`` and ``cols`` are places in the image's tile grid.
    boxes
        (N, 4) int64: y, x, height, width in level-0 pixels.
    labels
        (N, C) int8 of :class:`LabelState`, in the order of the project's classes.
    reviews
        (N,) int8 of :class:`Review`.
    """

    ids: npt.NDArray[np.int64]
    image_ids: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    cols: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int8]
    reviews: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.ids)

    def box(self, row: int) -> Box:
        """Return the box of the tile in ``row`` of the table, level-0 pixels."""
        y, x, height, width = (int(v) for v in self.boxes[row])
        return Box(y, x, height, width)

    def take(self, index: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> "TileTable":
        """Return the table of some rows, by positions or by a boolean mask."""
        return TileTable(
            self.ids[index],
            self.image_ids[index],
            self.rows[index],
            self.cols[index],
            self.boxes[index],
            self.labels[index],
            self.reviews[index],
        )
