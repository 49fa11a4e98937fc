"""Scores over the pixels of all images with a ground truth mask."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segmix_core.errors import ProjectError
from segmix_core.evaluation.known_masks import (
    MaskArray,
    find_known_masks,
    first_names,
    fit_to,
    most_pixels,
    read_mask_file,
    why_not_of,
)
from segmix_core.geometry import Box
from segmix_core.project.importers.report import count_text
from segmix_core.project.records import IGNORE_INDEX, UNTOUCHED, ImageRecord
from segmix_core.project.store import ProjectStore
from segmix_core.runs.results import mask_ids, open_mask
from segmix_core.training.metrics import ConfusionMatrix

_SMALL_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores over all pixels of all images together.

    Attributes
    ----------
    images, run_images
        Numbers of scored images, and of images with masks in the run.
    pixels, counted
        Number of scored pixels, and their share of the ground truth masks; 255 is not
        scored.
    left_out
        Names of unreadable ground truth masks.
    answered
        Share of scored pixels that the run's masks do not ignore; an ignored pixel is
        scored as missed.
    notes
        Notes on what was not used and what looks wrong.
    """

    images: int
    run_images: int
    pixels: int
    counted: float
    mean_iou: float
    mean_dice: float
    foreground_iou: float
    background_iou: float
    answered: float
    class_iou: dict[str, float]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the scores as JSON values; null if undefined."""
        names = (
            "mean_iou",
            "mean_dice",
            "foreground_iou",
            "background_iou",
            "answered",
        )
        return {
            "images": self.images,
            "run_images": self.run_images,
            "pixels": self.pixels,
            "counted": self.counted,
            **{name: _or_null(getattr(self, name)) for name in names},
            "class_iou": {n: _or_null(iou) for n, iou in self.class_iou.items()},
            "left_out": list(self.left_out),
            "notes": list(self.notes),
        }


def _or_null(score: float) -> float | None:
    return None if math.isnan(score) else score


def evaluate_run(
    store: ProjectStore, run: Path, truth: Path, *, corrected: bool = True
) -> Evaluation:
    """Compare the masks of a run with ground truth masks.

    Parameters
    ----------
    store
        The project of the run.
    run
        Folder of a "pseudo-masks" or "predict" run.
    truth
        A mask file, or a folder of masks with the paths or names of the images, matched
        by :mod:`segmix_core.project.matching`. Pixels are class indices, 0 background,
        255 not scored; a mask of another size is resized by nearest neighbor.
    corrected
        Apply manual corrections to the masks first.

    Raises
    ------
    ProjectError
        If no image has a ground truth mask, the match is ambiguous, or masks cannot
        belong to their images or to this project. Unreadable files in a folder are
        skipped.
    """
    names = [tissue.name for tissue in store.classes()]
    masked = frozenset(mask_ids(run))
    known = find_known_masks(store.images(), masked, truth)
    tally = _Tally(ConfusionMatrix(len(names)))
    for image, path in known.pairs:
        mask = _readable(path, image, tally, truth)
        if mask is not None and tally.accepts(mask, image, path):
            fitted = fit_to(mask, image.working_shape)
            tally.add(path, fitted, _mask_of(store, run, image, corrected))
    tally.check(truth, known.notes)
    matrix = tally.matrix
    pixels = int(matrix.counts.sum())
    return Evaluation(
        images=tally.images,
        run_images=len(masked),
        pixels=pixels,
        counted=pixels / tally.total,
        mean_iou=matrix.mean_iou,
        mean_dice=matrix.mean_dice,
        foreground_iou=matrix.foreground_iou,
        background_iou=matrix.background_iou,
        answered=matrix.answered,
        class_iou=dict(
            zip(["background", *names], map(float, matrix.iou), strict=True)
        ),
        left_out=tuple(name for name, _ in tally.unreadable),
        notes=(*known.notes, *tally.notes()),
    )


@dataclass(slots=True)
class _Tally:
    """Pixel counts so far, and signs that the masks do not match."""

    matrix: ConfusionMatrix
    images: int = 0
    total: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    impossible: list[str] = field(default_factory=list)
    binary: list[str] = field(default_factory=list)
    blank: list[str] = field(default_factory=list)

    def accepts(self, mask: MaskArray, image: ImageRecord, path: Path) -> bool:
        """Return whether a mask can belong to its image; note its values."""
        why_not = why_not_of(mask, image, self.matrix.num_classes, path)
        if why_not:
            self.impossible.append(f"{path.name} has {why_not}")
            return False
        if np.unique(mask).tolist() == [0, IGNORE_INDEX]:
            self.binary.append(path.name)
        return True

    def add(self, path: Path, truth: MaskArray, prediction: MaskArray) -> None:
        """Count the pixels of an image, with both masks on its working grid."""
        self.matrix.update(truth, prediction)
        self.total += truth.size
        if (truth == IGNORE_INDEX).all():
            self.blank.append(path.name)
        else:
            self.images += 1

    def check(self, truth: Path, notes: tuple[str, ...]) -> None:
        """Raise ProjectError if the counts do not allow a score."""
        if self.impossible:
            raise ProjectError(
                f"{count_text(len(self.impossible), 'ground truth mask')} cannot "
                f"match the image or this project: {first_names(self.impossible)}.",
                "Use the class order of the project ('segmix status') and masks of "
                "whole images, in the size of the image.",
            )
        if self.blank and not self.images:
            raise ProjectError(
                "No pixel of the ground truth masks counts: all are 255 "
                f"({first_names(self.blank)}).",
                "Use masks of class indices.",
            )
        if not self.images:
            reasons = [*notes, *self.notes()]
            raise ProjectError(
                " ".join([f"No image has a ground truth mask in {truth}.", *reasons]),
                "Save masks as class indices, one channel without colors."
                if self.unreadable
                else "Name each mask file like its image, and choose its folder.",
            )
        if len(self.binary) == self.images:
            raise ProjectError(
                "The ground truth masks have only the values 0 and 255, and 255 is "
                f"ignored ({first_names(self.binary)}).",
                "Save the foreground as its class index.",
            )

    def notes(self) -> list[str]:
        """Return notes on what was left out and what looks wrong."""
        reasons: dict[str, list[str]] = {}
        for name, reason in self.unreadable:
            reasons.setdefault(reason, []).append(name)
        unread = [
            f"{count_text(len(names), 'ground truth mask')} skipped because the file "
            f"cannot be read ({first_names(names)}): {reason}."
            for reason, names in reasons.items()
        ]
        found = {
            "with only the values 0 and 255; 255 is ignored": self.binary,
            "with only the value 255, which is ignored": self.blank,
        }
        notes = unread + [
            f"{count_text(len(names), 'ground truth mask')} {what} "
            f"({first_names(names)})."
            for what, names in found.items()
            if names
        ]
        pixels = int(self.matrix.counts.sum())
        if pixels < _SMALL_SHARE * self.total:
            notes.append(
                f"Only {100 * pixels / self.total:.3g} % of the pixels of the ground "
                "truth masks count; the others are 255."
            )
        return notes


def _readable(
    path: Path, image: ImageRecord, tally: _Tally, truth: Path
) -> MaskArray | None:
    try:
        return read_mask_file(path, most_pixels(image))
    except ProjectError as error:
        if path == truth:
            raise
        tally.unreadable.append((path.name, error.reason))
        return None


def _mask_of(
    store: ProjectStore, run: Path, image: ImageRecord, corrected: bool
) -> MaskArray:
    stored = open_mask(run, image.id, image.working_shape)
    if stored is None:
        raise ValueError(f"The run has no mask of image {image.id}")
    mask = np.asarray(stored[:])
    values, num_classes = np.unique(mask), len(store.classes())
    if ((values > num_classes) & (values != IGNORE_INDEX)).any():
        raise ProjectError(
            f"The masks of {run.name} have more classes than the {num_classes} of the "
            "project.",
            "Make the masks again.",
        )
    if not corrected:
        return mask
    changes = store.corrections(image.id, Box(0, 0, *mask.shape))
    return np.where(changes == UNTOUCHED, mask, changes)
