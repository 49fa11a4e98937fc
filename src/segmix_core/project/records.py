"""The values stored in a project."""

import hashlib
import os
from dataclasses import dataclass
from enum import IntEnum, StrEnum, unique
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box, mean_mpp
from segmix_core.tissue_mask import TissueMask

BACKGROUND = 0
IGNORE_INDEX = 255
"""Class index of pixels that take no part in training or scores."""
UNTOUCHED = 254
"""Value of a correction pixel that nobody has corrected."""
UNCHANGED = 253
"""Value that leaves a pixel as it is stored, in :meth:`ProjectStore.correct_mask`."""
MAX_CLASSES = 250
INITIAL_CLASSES = "initial_classes"
"""Setting: the classes a project began with, which are not in the journal."""
REPAIRED = "repaired"
"""Setting: the first journal entry after a repair."""
MAX_TISSUE_EDGE = 8192
"""Longest edge of a tissue mask, in its pixels."""
KEEP = -2
"""State that leaves a label as it is stored, in :meth:`ProjectStore.set_labels`."""


@unique
class LabelState(IntEnum):
    """Whether a class is present in a tile."""

    UNKNOWN = -1
    ABSENT = 0
    PRESENT = 1


@unique
class SourceKind(StrEnum):
    """What a source is."""

    SLIDE = "slide"
    FOLDER = "folder"


@unique
class Review(IntEnum):
    """Review state of a tile's mask."""

    NONE = 0
    ACCEPTED = 1
    CORRECTED = 2


@dataclass(frozen=True, slots=True)
class TissueClass:
    """A class: index 1..C as stored in masks, name, and color "#rrggbb".

    ``since`` is the journal entry that added it, 0 for a class that the project began
    with. A class that reuses the index of an undone class is a different class.
    """

    index: int
    name: str
    color: str
    since: int = 0


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


_WHOLE_BYTES = 16 * 1024 * 1024
_SAMPLE_BYTES = 64 * 1024
_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A file as it was when it was added or accepted.

    Attributes
    ----------
    size
        Bytes.
    mtime_ns
        Time of the last change, nanoseconds since the epoch.
    digest
        SHA-256 of the whole file up to 16 MiB, hexadecimal. For a larger file, of its
        first and last 64 KiB and 14 evenly spaced samples of 64 KiB; a change elsewhere
        that keeps the size is not noticed.
    """

    size: int
    mtime_ns: int
    digest: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the fingerprint of a file; OSError if it cannot be read."""
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            if state.st_size <= _WHOLE_BYTES:
                digest = hashlib.sha256(file.read(_WHOLE_BYTES))
            else:
                digest = hashlib.sha256()
                last = state.st_size - _SAMPLE_BYTES
                for number in range(_SAMPLES):
                    file.seek(number * last // (_SAMPLES - 1))
                    digest.update(file.read(_SAMPLE_BYTES))
        return cls(state.st_size, state.st_mtime_ns, digest.hexdigest())

    def matches(self, path: Path) -> bool:
        """Whether a file has the same content, judged by size and digest.

        If size and time are unchanged, the content is not read. Raises OSError if the
        file cannot be read.
        """
        state = path.stat()
        if (state.st_size, state.st_mtime_ns) == (self.size, self.mtime_ns):
            return True
        if state.st_size != self.size:
            return False
        return Fingerprint.of(path).digest == self.digest


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image file of a source.

    ``height`` and ``width`` are level-0 pixels, ``mpp_y`` and ``mpp_x`` µm per level-0
    pixel, and ``downsample`` level-0 pixels per working pixel (>= 1). Masks live on
    the working grid, whose shape is :attr:`working_shape`. ``bounds`` is the part that
    the scanner marked as scanned, in level-0 pixels; None is the whole frame.
    """

    id: int
    source_id: int
    path: Path
    height: int
    width: int
    mpp_y: float | None
    mpp_x: float | None
    downsample: float
    group: str
    split: str
    fingerprint: Fingerprint | None = None
    bounds: Box | None = None

    @property
    def mpp(self) -> float | None:
        """µm per level-0 pixel, the geometric mean of both axes; None if unknown."""
        return mean_mpp((self.mpp_y, self.mpp_x))

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
    """Tiles of some images as columns; row i is one tile.

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


@dataclass(frozen=True, slots=True, eq=False)
class TileChanges:
    """Tiles whose labels or reviews changed after a revision, as they are now.

    Attributes
    ----------
    revision
        The last journal entry included.
    ids
        (n,) int64, ascending; may include tiles that were changed and changed back.
    labels
        (n, C) int8 of :class:`LabelState`, in the order of the project's classes.
    reviews
        (n,) int8 of :class:`Review`.
    """

    revision: int
    ids: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int8]
    reviews: npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True, eq=False)
class Tissue(TissueMask):
    """Where a slide has tissue, and how much of it a tile needs.

    Attributes
    ----------
    min_share
        Share of a tile that has to be tissue, 0..1.
    """

    min_share: float

    def __post_init__(self) -> None:
        edges = self.mask.shape
        if len(edges) != 2 or not 1 <= min(edges) <= max(edges) <= MAX_TISSUE_EDGE:
            raise ValueError(f"Mask edges must be 1..{MAX_TISSUE_EDGE}, not {edges}")
        if self.downsample < 1 or not 0 <= self.min_share <= 1:
            raise ValueError(f"Invalid values: {self.downsample}, {self.min_share}")


TRAIN_SPLIT, VAL_SPLIT = "train", "val"
SPLITS = (TRAIN_SPLIT, VAL_SPLIT, "test")

ChangeKind = Literal[
    "labels",
    "class",
    "mask",
    "review",
    "source",
    "split",
    "mpp",
    "file",
    "tissue",
    "restore",
]
Scope = Literal["labels", "masks"]
"""An undo history: labels, classes and images; or masks and reviews."""
MASK_KINDS: frozenset[ChangeKind] = frozenset({"mask", "review"})


def scope_of(kind: ChangeKind) -> Scope:
    """Return the undo history that a kind of change belongs to."""
    return "masks" if kind in MASK_KINDS else "labels"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class NewImage:
    """An image to add, with its tiles; fields as in :class:`ImageRecord`.

    Attributes
    ----------
    boxes
        (n, 4) int64: y, x, height, width of each tile in level-0 pixels.
    rows, cols
        (n,) int64: places of the tiles in the image's grid.
    tissue
        The tissue mask that selected the tiles of a slide.
    """

    path: Path
    height: int
    width: int
    mpp_y: float | None
    mpp_x: float | None
    downsample: float
    group: str
    boxes: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    cols: npt.NDArray[np.int64]
    split: str = TRAIN_SPLIT
    fingerprint: Fingerprint | None = None
    bounds: Box | None = None
    tissue: Tissue | None = None

    @property
    def mpp(self) -> float | None:
        """µm per level-0 pixel, the geometric mean of both axes; None if unknown."""
        return mean_mpp((self.mpp_y, self.mpp_x))

    def __post_init__(self) -> None:
        count = len(self.boxes)
        if self.boxes.shape != (count, 4):
            raise ValueError(f"Boxes must be (n, 4), not {self.boxes.shape}")
        if self.rows.shape != (count,) or self.cols.shape != (count,):
            raise ValueError(f"Rows and columns do not match {count} tiles")
        if self.split not in SPLITS:
            raise ValueError(f"The split must be in {SPLITS}, not {self.split!r}")
        if self.height < 1 or self.width < 1 or self.downsample < 1:
            raise ValueError("Size and downsample must be at least 1")


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the project: an edit, an undo or a redo.

    ``description`` is a sentence for the user; ``box`` is on the working grid of the
    one image that a mask change touched, else None.
    """

    id: int
    kind: ChangeKind
    description: str
    image_ids: tuple[int, ...] = ()
    box: Box | None = None
