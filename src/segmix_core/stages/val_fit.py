"""Fit the gates and the background score of pseudo masks on the split val.

Uses labels, probabilities, maps and corrections of val only: the classifier has seen
train, and test is for the final scores.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from segmix_core.data.tile_reader import TileReader
from segmix_core.events import SettingFitted, Warned
from segmix_core.inference.evidence import Evidence
from segmix_core.inference.gate_fit import LEAST_TILES, GateFit, fit_gate
from segmix_core.inference.mask_rules import rules_of
from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.project.records import (
    IGNORE_INDEX,
    UNTOUCHED,
    VAL_SPLIT,
    ImageRecord,
    TileTable,
)
from segmix_core.stages.job import Job, Stopped
from segmix_core.stages.stored_maps import ImageMaps, StoredMaps
from segmix_core.training.metrics import ConfusionMatrix

SCORES = tuple(percent / 100 for percent in range(5, 61, 5))
"""Background scores to try."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The fitted values; None keeps the setting.

    Attributes
    ----------
    gates
        One per class.
    background_score
        For the background mode "score".
    results
        For the run's results: fitted values, numbers of tiles, and curves.
    """

    gates: tuple[float, ...] | None = None
    background_score: float | None = None
    results: dict[str, Any] = field(default_factory=dict)

    def applied_to(self, rules: PseudoMaskRules) -> PseudoMaskRules:
        """Return the rules with the fitted values."""
        if self.gates is not None:
            rules = replace(rules, gate=self.gates)
        if self.background_score is not None:
            rules = replace(rules, background_score=self.background_score)
        return rules


@dataclass(frozen=True, slots=True)
class _Val:
    """The images of the split val, their tiles with maps, and the maps."""

    job: Job
    maps: StoredMaps
    images: list[ImageRecord]
    tiles: TileTable


def fit_on_val(job: Job, maps: StoredMaps) -> Fit:
    """Fit the gates by best F1, and the background score by best mean IoU.

    The score is only fitted if it is used: among ``SCORES``, on the corrected pixels of
    val tiles, with the new gates and all other settings unchanged. Values with too few
    val tiles are kept, with a warning.

    Raises
    ------
    Stopped
        If the user asks to stop.
    """
    images = [image for image in job.store.images() if image.split == VAL_SPLIT]
    tiles = job.store.tiles()
    is_val = np.isin(tiles.image_ids, [image.id for image in images])
    tiles = tiles.take(is_val & np.isin(tiles.ids, maps.tile_ids))
    val = _Val(job, maps, images, tiles)
    fit = _fit_gates(val)
    if job.config.pseudo_masks.background != "score":
        return fit
    return _fit_background(val, fit)


def _fit_gates(val: _Val) -> Fit:
    job, tiles = val.job, val.tiles
    setting = job.config.pseudo_masks.gate
    given = np.array([val.maps.probabilities(int(tile)) for tile in tiles.ids])
    given = given.reshape(len(tiles), len(job.class_names))
    fits = {
        name: fit_gate(tiles.labels[:, column], given[:, column], setting)
        for column, name in enumerate(job.class_names)
    }
    for name, found in fits.items():
        if found.f1 is not None:
            job.writer.emit(_gate_event(name, found, found.f1))
    kept = [name for name, found in fits.items() if found.f1 is None]
    if kept:
        message = (
            f"The gate of {', '.join(kept)} stays {setting:.2f}: images of the split "
            f"val need {LEAST_TILES} tiles labeled with a class and as many without."
        )
        job.writer.emit(Warned(message=message))
    results = {"gates": {name: asdict(found) for name, found in fits.items()}}
    return Fit(tuple(found.gate for found in fits.values()), None, results)


def _gate_event(name: str, found: GateFit, f1: float) -> SettingFitted:
    return SettingFitted(
        setting="pseudo_masks.gate",
        target=name,
        value=found.gate,
        measure="F1",
        score=f1,
        tiles=found.present + found.absent,
        curve=[list(point) for point in found.curve],
    )


def _fit_background(val: _Val, fit: Fit) -> Fit:
    setting = val.job.config.pseudo_masks.background_score
    is_corrected = np.isin(val.tiles.ids, val.job.store.corrected_tiles())
    matrices, tiles = _confusions(val, fit, is_corrected)
    pixels = int(matrices[SCORES[0]].counts.sum())
    found: dict[str, Any] = {"tiles": tiles, "pixels": pixels}
    if pixels == 0:
        message = (
            f"The background score stays {setting:.2f}: no tile of an image of the "
            "split val has corrected pixels."
        )
        val.job.writer.emit(Warned(message=message))
        found |= {"value": setting, "mean_iou": None, "curve": []}
        return replace(fit, results=fit.results | {"background_score": found})
    curve = {score: matrix.mean_iou for score, matrix in matrices.items()}
    best = max(curve.values())
    # Among equals, the nearest to the setting.
    chosen = min(
        (score for score in SCORES if curve[score] == best),
        key=lambda score: abs(score - setting),
    )
    points = [list(point) for point in curve.items()]
    event = SettingFitted(
        setting="pseudo_masks.background_score",
        value=chosen,
        measure="mean IoU",
        score=best,
        tiles=tiles,
        curve=points,
    )
    val.job.writer.emit(event)
    found |= {"value": chosen, "mean_iou": best, "curve": points}
    return Fit(fit.gates, chosen, fit.results | {"background_score": found})


def _confusions(
    val: _Val, fit: Fit, is_corrected: npt.NDArray[np.bool_]
) -> tuple[dict[float, ConfusionMatrix], int]:
    """Return a confusion matrix per score on corrected pixels, and the tile count."""
    job = val.job
    matrices = {score: ConfusionMatrix(len(job.class_names)) for score in SCORES}
    seen, count = 0, int(is_corrected.sum())
    with TileReader(val.images, cache_bytes=0) as reader:
        for image in val.images:
            rules = fit.applied_to(rules_of(job.config.pseudo_masks, image.working_mpp))
            for truth, evidence in _drawn(val, image, is_corrected, reader):
                for score, matrix in matrices.items():
                    mask, _ = evidence.mask(replace(rules, background_score=score))
                    matrix.update(truth, mask)
                seen += 1
                job.writer.progress(seen, count, "choosing the background on val")
                if job.writer.should_stop():
                    raise Stopped
    return matrices, seen


def _drawn(
    val: _Val,
    image: ImageRecord,
    is_corrected: npt.NDArray[np.bool_],
    reader: TileReader,
) -> Iterator[tuple[npt.NDArray[np.uint8], Evidence]]:
    """Yield the corrections in tiles of an image, and the evidence for their masks.

    Pixels without a correction are 255 in the first and not counted.
    """
    is_mine = val.tiles.image_ids == image.id
    rows = np.flatnonzero(is_corrected[is_mine])
    if not rows.size:
        return
    maps = ImageMaps(image, val.tiles.take(is_mine), val.maps, reader)
    for row in rows:
        drawn = val.job.store.corrections(image.id, maps.boxes[row])
        truth = np.where(drawn == UNTOUCHED, np.uint8(IGNORE_INDEX), drawn)
        # With background by score, masks do not need the pixels.
        yield truth, maps.evidence(int(row), with_pixels=False)
