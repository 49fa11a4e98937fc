"""One step of the CAM classifier: plain CAM, SEAM, and SegMix on top of either."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from segmix_core.curriculum.feedback import CurriculumController
from segmix_core.curriculum.level import ShuffleLevel
from segmix_core.curriculum.shuffle import Shuffled, shuffle_batch
from segmix_core.data.batch import Batch
from segmix_core.models.backbone import keep_statistics
from segmix_core.models.cam import keep_present_classes, make_seed, normalize_cam
from segmix_core.models.cam_classifier import CamClassifier, ClassifierOutput
from segmix_core.training.losses import (
    classification_loss,
    cross_regularisation_loss,
    equivariance_loss,
)
from segmix_core.training.shuffle_feedback import ShuffleFeedback
from segmix_core.training.task import PreviewArrays, StepContext, StepResult
from segmix_core.training.views import (
    draw_turns,
    jitter_colors,
    rescale,
    second_scale,
    turn,
    turn_back,
)

if TYPE_CHECKING:
    from segmix_core.events import CurriculumDecided

_PREVIEW_TILES = 16
# The first maps come early, so that the user sees the run working.
_FIRST_CAM_STEP = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """Weights of the terms beside the classification loss, which has weight 1.

    ``er`` is below the 1 of SEAM: at 1 it held the class scores back on tissue.
    """

    shuffle: float = 1.0
    er: float = 0.2
    ecr: float = 1.0


class ClassifierTask:
    """Trains a :class:`CamClassifier` on tile labels.

    The plain method is the classification loss alone. ``use_seam`` adds a second view
    with its losses (SEAM: ER and ECR); a ``controller`` adds the shuffled view.

    Parameters
    ----------
    module
        To train; it may be replaced by a prepared one before the first step.
    controller
        Chooses the shuffle level and hears the loss of the shuffled tiles; None: no
        shuffled view.
    use_seam
        Learn from a second view.
    weights
        Of the loss terms.
    group_size, exact
        As in :func:`segmix_core.curriculum.shuffle.shuffle_batch`.
    preview_tiles
        Tiles whose maps :meth:`epoch_end` shows, on any device.
    augment
        Turn tiles and change their colours before anything else.
    """

    def __init__(
        self,
        module: CamClassifier,
        *,
        controller: CurriculumController | None,
        use_seam: bool,
        weights: LossWeights | None = None,
        group_size: int = 2,
        exact: bool = True,
        preview_tiles: Batch | None = None,
        augment: bool = True,
    ) -> None:
        self.module = module
        self.feedback: ShuffleFeedback | None = None
        if controller is not None:
            self.feedback = ShuffleFeedback(controller, module.num_classes)
        self.use_seam = use_seam
        self.weights = weights or LossWeights()
        self.group_size = group_size
        self.exact = exact
        self.preview_tiles = preview_tiles
        self.augment = augment

    @property
    def min_batch(self) -> int:
        """Two where tiles exchange patches, else one."""
        return 1 if self.feedback is None else 2

    def training_step(self, batch: Batch, context: StepContext) -> StepResult:
        """Return the loss of a batch; labels of -1 add nothing."""
        images = batch.images
        if self.augment:
            images = self._augment(images, context.generator)
        output: ClassifierOutput = self.module(images)
        parts = {"classification": classification_loss(output.logits, batch.labels)}
        loss = parts["classification"]
        if self.use_seam:
            terms = self._seam_terms(images, output, batch.labels, context.generator)
            loss = loss + terms["classification_2"]
            loss = 0.5 * loss + self.weights.er * terms["er"]
            loss = loss + self.weights.ecr * terms["ecr"]
            parts |= terms
        previews: dict[str, PreviewArrays] = {}
        curves: dict[str, float] = {}
        news: tuple[CurriculumDecided, ...] = ()
        if self.feedback is not None:
            news, curves = self.feedback.decide(context.step), self.feedback.curves()
            level = self.feedback.level
            mixed = self._shuffle(images, batch.labels, level, context.generator)
            parts["shuffled"] = self._shuffled_term(mixed)
            self.feedback.hear(
                parts["shuffled"].detach(), batch.labels, mixed.labels, context.step
            )
            loss = loss + self.weights.shuffle * parts["shuffled"]
            if context.wants_preview:
                previews["shuffled"] = self._show_shuffled(mixed, batch.tile_ids, level)
        if context.step == _FIRST_CAM_STEP:
            previews |= self.epoch_end(context.epoch, context.step)
        detached = {name: value.detach() for name, value in parts.items()}
        return StepResult(loss, {**detached, **curves}, news, previews)

    def epoch_end(self, epoch: int, step: int) -> Mapping[str, PreviewArrays]:
        """Return the maps of the preview tiles as "cam", if there are any.

        ``cams`` is (B, C, h, w) uint8: 255 is the strongest score of the tile; classes
        known to be absent are 0. ``tile_ids`` is (B,) int64.
        """
        tiles = self.preview_tiles
        if tiles is None:
            return {}
        device = next(self.module.parameters()).device
        was_training = self.module.training
        self.module.eval()
        try:
            with torch.no_grad():
                cam = self.module(tiles.images.to(device)).cam.float().cpu()
        finally:
            self.module.train(was_training)
        shown = keep_present_classes(cam, tiles.labels.cpu() != 0)
        cams = (255 * normalize_cam(shown, joint=True)).round().to(torch.uint8)
        ids = tiles.tile_ids.cpu().numpy()
        return {"cam": {"cams": cams.numpy(), "tile_ids": ids}}

    def state(self) -> dict[str, Any]:
        """Return the state of the curriculum."""
        return {} if self.feedback is None else self.feedback.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`.

        Raises
        ------
        ValueError
            If it is of a run with another method or other patch sizes.
        """
        if (self.feedback is None) == bool(state):
            raise ValueError("Expected the state of a run with the same method")
        if self.feedback is not None:
            self.feedback.load_state(state)

    def _augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
        turns = draw_turns(len(images), square=_is_square(images), generator=generator)
        return jitter_colors(turn(images, turns), generator=generator)

    def _seam_terms(
        self,
        images: Tensor,
        output: ClassifierOutput,
        labels: Tensor,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        turns = draw_turns(len(images), square=_is_square(images), generator=generator)
        height, width = images.shape[-2:]
        scale = second_scale(height, width, self.module.stride)
        view = rescale(turn(images, turns), scale, self.module.stride)
        with keep_statistics(self.module):
            second: ClassifierOutput = self.module(view)
        present = labels > 0
        second_cam = turn_back(second.cam, turns)
        refined = self._refine(output, images, present)
        refined_second = turn_back(self._refine(second, view, present), turns)
        with_background = self.module.has_background
        ecr = [
            cross_regularisation_loss(
                maps, other, present, has_background=with_background
            )
            for maps, other in ((refined, second_cam), (refined_second, output.cam))
        ]
        return {
            "classification_2": classification_loss(second.logits, labels),
            "er": equivariance_loss(output.cam, second_cam, labels != 0),
            "ecr": ecr[0] + ecr[1],
        }

    def _refine(
        self, output: ClassifierOutput, images: Tensor, present: Tensor
    ) -> Tensor:
        with_background = self.module.has_background
        seed = make_seed(output.cam.float(), present, has_background=with_background)
        refined: Tensor = self.module.refine(seed, images, output)
        return refined[:, 1:] if with_background else refined

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
            level,
            group_size=self.group_size,
            exact=self.exact,
            generator=generator,
        )

    def _shuffled_term(self, mixed: Shuffled) -> Tensor:
        # Seams are not tissue: inference must not inherit their statistics.
        with keep_statistics(self.module):
            output: ClassifierOutput = self.module(mixed.images)
        return classification_loss(output.logits, mixed.labels)

    def _show_shuffled(
        self, mixed: Shuffled, tile_ids: Tensor, level: ShuffleLevel
    ) -> PreviewArrays:
        # Whole groups only: a source must be among the tiles that are shown.
        size = min(self.group_size, len(tile_ids))
        count = min(len(tile_ids), max(size, _PREVIEW_TILES // size * size))
        images = (255 * mixed.images[:count]).round().to(torch.uint8)
        return {
            "images": images.permute(0, 2, 3, 1).contiguous().cpu().numpy(),
            "tile_ids": tile_ids[:count].cpu().numpy(),
            "sources": mixed.sources[:count].cpu().numpy(),
            "patch_size": np.asarray(level.patch_size),
            "shuffle_ratio": np.asarray(level.shuffle_ratio),
        }


def _is_square(images: Tensor) -> bool:
    return images.shape[-1] == images.shape[-2]
