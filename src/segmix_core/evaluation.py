"""Scores of a run's masks against masks that are known to be right."""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from segmix_core.errors import ProjectError
from segmix_core.geometry import Box
from segmix_core.project.records import IGNORE_INDEX, UNTOUCHED, ImageRecord
from segmix_core.project.store import ProjectStore
from segmix_core.runs.results import mask_ids, open_mask
from segmix_core.training.metrics import ConfusionMatrix

MaskArray = npt.NDArray[np.uint8]
_TIFF = (".tif", ".tiff")
# What the readers raise for a damaged file; their decoders' errors are RuntimeErrors.
_DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,
    LookupError,
    RuntimeError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores over all pixels of all images together.

    ``answered`` is the share of pixels that the masks do not ignore; the scores count
    an ignored pixel as missed by every class.
    """

    images: int
    mean_iou: float
    mean_dice: float
    foreground_iou: float
    background_iou: float
    answered: float
    class_iou: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the scores as JSON values: null where there are no such pixels."""
        names = (
            "mean_iou",
            "mean_dice",
            "foreground_iou",
            "background_iou",
            "answered",
        )
        return {
            "images": self.images,
            **{name: _or_null(getattr(self, name)) for name in names},
            "class_iou": {n: _or_null(iou) for n, iou in self.class_iou.items()},
        }


def _or_null(score: float) -> float | None:
    return None if math.isnan(score) else score


def evaluate_run(
    store: ProjectStore, run: Path, truth: Path, *, corrected: bool = True
) -> Evaluation:
    """Compare the masks of a run with known ones.

    Parameters
    ----------
    store
        The project of the run.
    run
        Folder of a "pseudo-masks" or "predict" run.
    truth
        A mask file (one image), or a folder of masks with the names of the images.
        Pixels are class indices, 0 background, 255 not counted; a mask of another size
        than the image is scaled by its nearest pixel.
    corrected
        Lay the corrections of people over the masks.

    Raises
    ------
    ProjectError
        If no image has a known mask, or a mask has values beyond the classes.
    """
    names = [tissue.name for tissue in store.classes()]
    matrix = ConfusionMatrix(len(names))
    known = set(mask_ids(run))
    images = [image for image in store.images() if image.id in known]
    count = 0
    for image, path in _pairs(images, truth):
        expected = _fit(read_mask_file(path), image.working_shape)
        _check_values(expected, len(names), path)
        matrix.update(expected, _mask_of(store, run, image, corrected))
        count += 1
    if count == 0:
        raise ProjectError.unexpected(
            f"masks of the project's images at {truth}",
            "none with the name of an image",
            "Name each mask file like its image.",
        )
    return Evaluation(
        images=count,
        mean_iou=matrix.mean_iou,
        mean_dice=matrix.mean_dice,
        foreground_iou=matrix.foreground_iou,
        background_iou=matrix.background_iou,
        answered=matrix.answered,
        class_iou=dict(
            zip(["background", *names], map(float, matrix.iou), strict=True)
        ),
    )


def read_mask_file(path: Path) -> MaskArray:
    """Return the full-size indices of a mask TIFF or PNG, (H, W) uint8.

    Raises
    ------
    ProjectError
        If the file is not an image with one 8-bit channel.
    """
    try:
        if path.suffix.lower() in _TIFF:
            values = np.asarray(tifffile.imread(path, series=0, level=0))
        else:
            with Image.open(path) as image:
                values = np.asarray(image)
    except _DAMAGED as error:
        raise ProjectError.unexpected(
            f"a mask at {path}", str(error), "Give a TIFF or PNG of class indices."
        ) from error
    if values.ndim != 2 or values.dtype != np.uint8:
        raise ProjectError.unexpected(
            f"one 8-bit channel of class indices in {path.name}",
            f"shape {values.shape} of {values.dtype}",
            "Export the mask as class indices, without colours.",
        )
    return values


def _pairs(images: list[ImageRecord], truth: Path) -> list[tuple[ImageRecord, Path]]:
    if truth.is_file() and len(images) == 1:
        return [(images[0], truth)]
    found = [truth] if truth.is_file() else sorted(truth.glob("*"))
    files = {path.stem: path for path in found if path.is_file()}
    return [
        (image, files[image.path.stem]) for image in images if image.path.stem in files
    ]


def _fit(mask: MaskArray, shape: tuple[int, int]) -> MaskArray:
    """Scale a mask by nearest pixel centres."""
    rows, cols = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip(shape, mask.shape, strict=True)
    )
    return np.asarray(mask[rows[:, None], cols])


def _check_values(mask: MaskArray, num_classes: int, path: Path) -> None:
    values = np.unique(mask)
    wrong = values[(values > num_classes) & (values != IGNORE_INDEX)]
    if wrong.size:
        raise ProjectError.unexpected(
            f"class indices 0..{num_classes} or 255 in {path.name}",
            f"the value {int(wrong[0])}",
            "Use the class order of the project; see 'segmix status'.",
        )


def _mask_of(
    store: ProjectStore, run: Path, image: ImageRecord, corrected: bool
) -> MaskArray:
    stored = open_mask(run, image.id, image.working_shape)
    if stored is None:
        raise ValueError(f"The run has no mask of image {image.id}")
    mask = np.asarray(stored[:])
    if not corrected:
        return mask
    changes = store.corrections(image.id, Box(0, 0, *mask.shape))
    return np.where(changes == UNTOUCHED, mask, changes)
