"""One step of the CAM classifier: plain CAM, SEAM, Puzzle-CAM, SegMix and SegMix+."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from segmix_core.curriculum.feedback import CurriculumController
from segmix_core.curriculum.level import PAIRS, ShuffleLevel, ShuffleScope
from segmix_core.curriculum.mixed_labels import AREA, LabelRule
from segmix_core.curriculum.shuffle import Shuffled, shuffle_batch
from segmix_core.data.batch import Batch
from segmix_core.data.symmetries import draw_symmetries, turn_each, turn_each_back
from segmix_core.models.backbone import keep_statistics
from segmix_core.models.cam import make_seed
from segmix_core.models.cam_classifier import CamClassifier, ClassifierOutput
from segmix_core.training.cam_preview import preview_cams
from segmix_core.training.losses import (
    DEFAULT_WEIGHTS,
    LossWeights,
    classification_loss,
    cross_regularization_loss,
    equivariance_loss,
    ramp,
)
from segmix_core.training.puzzle import (
    cut_quarters,
    merge_quarters,
    reconstruction_loss,
)
from segmix_core.training.shuffle_feedback import ShuffleFeedback
from segmix_core.training.task import PreviewArrays, StepContext, StepResult
from segmix_core.training.views import (
    jitter_colors,
    rescale,
    second_scale,
)

if TYPE_CHECKING:
    from segmix_core.events import CurriculumDecided

_PREVIEW_TILES = 16


class ClassifierTask:
    """Trains a :class:`CamClassifier` on tile labels.

    The plain method is the classification loss alone. ``second_view`` adds the second
    view of SEAM with its losses, ER and ECR; a ``controller`` adds the shuffled view. A
    puzzle weight above 0 adds the quarters of the tiles (Puzzle-CAM).

    Parameters
    ----------
    module
        The network; may be replaced by a wrapped one before the first step.
    controller
        Chooses the shuffle level from the loss of the shuffled tiles; None: no
        shuffled view.
    second_view
        Train on a second view.
    weights
        Of the loss terms.
    scope, label_rule
        As in :func:`segmix_core.curriculum.shuffle.shuffle_batch`.
    preview_tiles
        Tiles whose maps :meth:`epoch_end` shows, on any device.
    augment
        Rotate tiles and change their colors first.
    """

    def __init__(
        self,
        module: CamClassifier,
        *,
        controller: CurriculumController | None,
        second_view: bool = False,
        weights: LossWeights = DEFAULT_WEIGHTS,
        scope: ShuffleScope = PAIRS,
        label_rule: LabelRule = AREA,
        preview_tiles: Batch | None = None,
        augment: bool = True,
    ) -> None:
        self.module = module
        self.feedback: ShuffleFeedback | None = None
        if controller is not None:
            self.feedback = ShuffleFeedback(controller, module.num_classes)
        self.second_view = second_view
        self.weights = weights
        self.scope = scope
        self.label_rule = label_rule
        self.preview_tiles = preview_tiles
        self.augment = augment

    @property
    def min_batch(self) -> int:
        """2 if tiles exchange patches, else 1."""
        return 1 if self.feedback is None or self.scope.group_size == 1 else 2

    def training_step(self, batch: Batch, context: StepContext) -> StepResult:
        """Return the loss of a batch; labels of -1 add nothing."""
        images = batch.images
        if self.augment:
            images = self._augment(images, context.generator)
        output: ClassifierOutput = self.module(images)
        parts = {"classification": classification_loss(output.logits, batch.labels)}
        loss = parts["classification"]
        if self.second_view:
            terms = self._seam_terms(images, output, batch.labels, context.generator)
            loss = loss + terms["classification_2"]
            loss = 0.5 * loss + self.weights.er * terms["er"]
            loss = loss + self.weights.ecr * terms["ecr"]
            parts |= terms
        if self.weights.puzzle > 0:
            terms = self._puzzle_terms(images, output, batch.labels)
            alpha = ramp(context.step, 0, context.total_steps / 2)
            loss = loss + terms["classification_quarters"]
            loss = loss + alpha * self.weights.puzzle * terms["puzzle"]
            parts |= terms
        previews: dict[str, PreviewArrays] = {}
        curves: dict[str, float] = {}
        news: tuple[CurriculumDecided, ...] = ()
        if self.feedback is not None:
            news, curves = self.feedback.decide(context.step), self.feedback.curves()
            level = self.feedback.level
            mixed = self._shuffle(images, batch.labels, level, context.generator)
            parts["shuffled"] = shuffled = _shuffled_loss(self.module, mixed)
            self.feedback.record_loss(
                shuffled.detach(), batch.labels, mixed.labels, context.step
            )
            loss = loss + self.weights.shuffle * shuffled
            if context.wants_preview:
                shown = _show_shuffled(mixed, batch.tile_ids, level, self.scope)
                previews["shuffled"] = shown
        detached = {name: value.detach() for name, value in parts.items()}
        return StepResult(loss, {**detached, **curves}, news, previews)

    def amount(self, batch: Batch) -> float:
        """Return the number of known labels."""
        return float((batch.labels >= 0).sum())

    def epoch_end(self, epoch: int, step: int) -> Mapping[str, PreviewArrays]:
        """Return the maps of the preview tiles; see :func:`preview_cams`."""
        return preview_cams(self.module, self.preview_tiles)

    def state(self) -> dict[str, Any]:
        """Return the state of the curriculum."""
        return {} if self.feedback is None else self.feedback.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state`.

        Raises
        ------
        ValueError
            If it is from a run with another method or other patch sizes.
        """
        if (self.feedback is None) == bool(state):
            raise ValueError("The state is from a run with another method")
        if self.feedback is not None:
            device = next(self.module.parameters()).device
            self.feedback.load_state(state, device)

    def _augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
        turns = draw_symmetries(len(images), generator, square=_is_square(images))
        return jitter_colors(turn_each(images, turns), generator=generator)

    def _seam_terms(
        self,
        images: Tensor,
        output: ClassifierOutput,
        labels: Tensor,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        turns = draw_symmetries(len(images), generator, square=_is_square(images))
        height, width = images.shape[-2:]
        multiple = self.module.size_multiple
        scale = second_scale(height, width, multiple)
        view = rescale(turn_each(images, turns), scale, multiple)
        with keep_statistics(self.module):
            second: ClassifierOutput = self.module(view)
        present = labels > 0
        second_cam = turn_each_back(second.cam, turns)
        refined = self._refine(output, images, present)
        refined_second = turn_each_back(self._refine(second, view, present), turns)
        ecr = [
            cross_regularization_loss(maps, other, present)
            for maps, other in ((refined, second_cam), (refined_second, output.cam))
        ]
        return {
            "classification_2": classification_loss(second.logits, labels),
            "er": equivariance_loss(output.cam, second_cam, present),
            "ecr": ecr[0] + ecr[1],
        }

    def _refine(
        self, output: ClassifierOutput, images: Tensor, present: Tensor
    ) -> Tensor:
        seed = make_seed(output.cam.float(), present)
        refined: Tensor = self.module.refine(seed, images, output)
        return refined

    def _shuffle(
        self,
        images: Tensor,
        labels: Tensor,
        level: ShuffleLevel,
        generator: torch.Generator,
    ) -> Shuffled:
        return shuffle_batch(
            images,
            labels,
            patch_size=level.patch_size,
            ratio=level.shuffle_ratio,
            group_size=self.scope.group_size,
            in_place=self.scope.in_place,
            exact=self.scope.exact,
            label_rule=self.label_rule.kind,
            least_share=self.label_rule.least_share,
            generator=generator,
        )

    def _puzzle_terms(
        self, images: Tensor, output: ClassifierOutput, labels: Tensor
    ) -> dict[str, Tensor]:
        with keep_statistics(self.module):
            quarters: ClassifierOutput = self.module(cut_quarters(images))
        merged = merge_quarters(quarters.cam)
        return {
            "classification_quarters": classification_loss(
                merged.mean(dim=(2, 3)), labels
            ),
            "puzzle": reconstruction_loss(output.cam, merged, labels > 0),
        }


def _is_square(images: Tensor) -> bool:
    return images.shape[-1] == images.shape[-2]


def _shuffled_loss(module: CamClassifier, mixed: Shuffled) -> Tensor:
    """Return the classification loss of shuffled tiles, a scalar."""
    # Seams are not tissue: inference must not inherit their statistics.
    with keep_statistics(module):
        output: ClassifierOutput = module(mixed.images)
    return classification_loss(output.logits, mixed.labels)


def _show_shuffled(
    mixed: Shuffled, tile_ids: Tensor, level: ShuffleLevel, scope: ShuffleScope
) -> PreviewArrays:
    """Return the first shuffled tiles; see :mod:`segmix_core.runs.previews`."""
    # Whole groups only: a source must be among the tiles that are shown.
    size = scope.tiles(len(tile_ids))
    count = min(len(tile_ids), max(size, _PREVIEW_TILES // size * size))
    images = (255 * mixed.images[:count]).round().to(torch.uint8)
    return {
        "images": images.permute(0, 2, 3, 1).contiguous().cpu().numpy(),
        "tile_ids": tile_ids[:count].cpu().numpy(),
        "sources": mixed.origins.sources[:count].cpu().numpy(),
        "positions": mixed.origins.positions[:count].cpu().numpy(),
        "patch_size": np.asarray(level.patch_size),
        "shuffle_ratio": np.asarray(level.shuffle_ratio),
    }
