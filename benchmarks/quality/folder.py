"""A folder of images, image-level labels and masks, split in train, val and test.

Layout: ``images/``, ``masks/`` (same names; value = class id, 0 = background),
``classes.csv`` (``mask_value, class_name``), ``labels.csv`` (``filename, split,
is_<class>...``) and, for windows with tags, ``patches.csv`` (``filename, split, x, y,
size, has_<tag>...``).
"""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from segmix_core.errors import ConfigError, ProjectError
from segmix_core.geometry import Box
from segmix_core.project.records import SPLITS
from segmix_core.slides.group_stains import GroupStains

SCORED_SPLITS = ("val", "test")


@dataclass(frozen=True, slots=True)
class LabeledImage:
    """An image of the folder; ``labels`` has 0 or 1 for each class or tag.

    Images of one ``group`` belong together, for instance to a case; empty: alone.
    """

    name: str
    split: str
    labels: tuple[int, ...]
    group: str = ""


@dataclass(frozen=True, slots=True)
class LabeledWindow:
    """A square part of an image with tags of its own; ``box`` in image pixels."""

    name: str
    split: str
    box: Box
    labels: tuple[int, ...]


@dataclass(frozen=True)
class BenchmarkFolder:
    """The folder at ``path``; tables are read when first asked for.

    ``scored`` is the split whose masks score: val while settings are chosen, so that
    masks of test stay unread. ``window_px`` is the edge of the windows that images are
    learned in; None: they are learned whole.

    Raises
    ------
    ConfigError
        If masks of that split may not score.
    """

    path: Path
    scored: str = "test"
    window_px: int | None = None

    def __post_init__(self) -> None:
        if self.scored not in SCORED_SPLITS:
            raise ConfigError(
                f"{self.scored!r} is not a split to score.",
                f"Choose one of {', '.join(SCORED_SPLITS)}; use val while choosing "
                "settings.",
            )

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Names of classes 1..C, in the order of their mask values."""
        rows = _read_table(self.path / "classes.csv", ("mask_value", "class_name"))
        named = {_number(row, "mask_value"): row["class_name"] for row in rows}
        named.pop(0, None)
        if sorted(named) != list(range(1, len(named) + 1)):
            raise ProjectError(
                "classes.csv must number the classes 1, 2, 3, ..., not "
                f"{sorted(named)}.",
                "Number the mask values without gaps; 0 is background.",
            )
        return tuple(named[index] for index in sorted(named))

    @cached_property
    def images(self) -> tuple[LabeledImage, ...]:
        """All images of ``labels.csv``."""
        columns = tuple(f"is_{name}" for name in self.class_names)
        rows = _read_table(self.path / "labels.csv", ("filename", "split", *columns))
        return tuple(
            LabeledImage(
                row["filename"],
                _split(row),
                tuple(_number(row, column) for column in columns),
                row.get("group", ""),
            )
            for row in rows
        )

    @cached_property
    def tag_names(self) -> tuple[str, ...]:
        """Names of the tags of ``patches.csv``, without their "has_"."""
        rows = self._window_rows
        return tuple(
            column.removeprefix("has_") for column in rows[0] if column[:4] == "has_"
        )

    @cached_property
    def windows(self) -> tuple[LabeledWindow, ...]:
        """All windows of ``patches.csv``."""
        return tuple(
            LabeledWindow(
                row["filename"],
                _split(row),
                Box(*(_number(row, name) for name in ("y", "x", "size", "size"))),
                tuple(_number(row, f"has_{name}") for name in self.tag_names),
            )
            for row in self._window_rows
        )

    @cached_property
    def _window_rows(self) -> list[dict[str, str]]:
        columns = ("filename", "split", "x", "y", "size")
        return _read_table(self.path / "patches.csv", columns)

    def split(self, name: str) -> tuple[LabeledImage, ...]:
        """Return the images of one split.

        Raises
        ------
        ProjectError
            If there are none.
        """
        found = tuple(image for image in self.images if image.split == name)
        if not found:
            raise ProjectError(
                f"labels.csv has no images in the split '{name}'.",
                "Assign images to this split.",
            )
        return found

    @property
    def scored_images(self) -> tuple[LabeledImage, ...]:
        """The images whose masks score, in the order of ``labels.csv``."""
        return self.split(self.scored)

    def read_image(self, name: str) -> npt.NDArray[np.uint8]:
        """Return the pixels, (H, W, 3) uint8 RGB."""
        return read_pixels(self._path_of(name), "RGB")

    def _path_of(self, name: str) -> Path:
        return self.path / "images" / name

    def read_normalized_image(self, name: str) -> npt.NDArray[np.uint8]:
        """Return the same in the colors that all images get."""
        return self._stains.of(name)(self.read_image(name))

    @cached_property
    def _stains(self) -> GroupStains[str]:
        groups = {image.name: image.group or image.name for image in self.images}
        areas = {name: self._area_of(name) for name in groups}
        tiles = areas
        if self.window_px is not None:
            tiles = dict.fromkeys(groups, self.window_px**2)
        train = [image.name for image in self.images if image.split == "train"]
        return GroupStains(groups, areas, tiles, self._look, typical=train)

    def _area_of(self, name: str) -> int:
        try:
            return prod(read_size(self._path_of(name)))
        except ProjectError:
            return 0

    def _look(self, name: str) -> npt.NDArray[np.uint8] | None:
        try:
            return self.read_image(name)
        except ProjectError:
            # Whoever needs the image itself will tell.
            return None

    def read_mask(self, image: LabeledImage) -> npt.NDArray[np.uint8]:
        """Return the mask of a val or scored image, (H, W) uint8 of class ids.

        Raises
        ------
        ValueError
            For a train image: weak supervision never sees its mask. The ceiling has a
            door of its own, :class:`benchmarks.quality.ceiling.TrainMasks`. And for
            a test image while val is scored.
        """
        if image.split not in ("val", self.scored):
            raise ValueError(
                f"{image.name} is a {image.split} image: its mask is not read"
            )
        return read_pixels(self.path / "masks" / image.name)


def read_pixels(path: Path, mode: str | None = None) -> npt.NDArray[np.uint8]:
    """Return the pixels of an image file, converted to a mode of Pillow.

    Raises
    ------
    ProjectError
        If it is missing or damaged.
    """
    with _opened(path) as image:
        return np.asarray(image.convert(mode) if mode else image)


def read_size(path: Path) -> tuple[int, int]:
    """Return width and height of an image file, without reading its pixels.

    Raises
    ------
    ProjectError
        If it is missing or damaged.
    """
    with _opened(path) as image:
        return image.size


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise ProjectError(
            f"{path} cannot be read as an image ({error}).",
            "Restore the file or remove its row.",
        ) from error


def _number(row: dict[str, str], column: str) -> int:
    try:
        return int(row[column])
    except (TypeError, ValueError):
        where = row.get("filename") or row.get("class_name")
        raise ProjectError(
            f"{column} of {where} is {row[column]!r}, not a whole number.",
            "Correct the table.",
        ) from None


def _split(row: dict[str, str]) -> str:
    if row["split"] not in SPLITS:
        raise ProjectError(
            f"{row['filename']} has the unknown split {row['split']!r}.",
            f"Use one of {', '.join(SPLITS)}.",
        )
    return row["split"]


def _read_table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise ProjectError(
            f"{path} cannot be read as a table ({error.strerror}).",
            "A benchmark folder contains images/, masks/, labels.csv and classes.csv.",
        ) from error
    missing = [name for name in columns if not rows or name not in rows[0]]
    if missing:
        raise ProjectError(
            f"{path.name} has no column {', '.join(missing)}.",
            "Add the columns; the layout is described in docs/benchmark.md.",
        )
    return rows
