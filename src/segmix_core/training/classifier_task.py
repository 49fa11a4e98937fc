"""One step of the CAM classifier: plain CAM, SEAM, and SegMix on top of either."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segmix_core.curriculum.feedback import CurriculumController
from segmix_core.curriculum.level import ShuffleLevel
from segmix_core.curriculum.shuffle import Shuffled, shuffle_batch
from segmix_core.data.batch import Batch
from segmix_core.events import CurriculumDecided
from segmix_core.models.backbone import keep_statistics
from segmix_core.models.cam import keep_present_classes, make_seed, normalize_cam
from segmix_core.models.cam_classifier import CamClassifier, ClassifierOutput
from segmix_core.training.losses import (
    classification_loss,
    cross_regularisation_loss,
    equivariance_loss,
    label_entropy,
    label_spread,
)
from segmix_core.training.task import PreviewArrays, StepContext, StepResult
from segmix_core.training.views import (
    draw_turns,
    jitter_colors,
    rescale,
    second_scale,
    turn,
    turn_back,
)

_PREVIEW_TILES = 16
# The first maps come early, so that the user sees the run working.
_FIRST_CAM_STEP = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """Weights of the terms beside the classification loss, which has weight 1."""

    shuffle: float = 1.0
    er: float = 1.0
    ecr: float = 1.0


@dataclass(frozen=True, slots=True)
class _Heard:
    """What the shuffled tiles of a step said.

    ``sums`` holds three sums over tiles: the loss beyond what soft labels cost anyway,
    the spread of the labels, and one. It stays on the device until the next step, so
    that no step waits for it.
    """

    step: int
    sums: Tensor

    def mean_over_processes(self) -> tuple[float, float]:
        """Return the relative loss and its weight, equal in all processes.

        Otherwise the processes of a distributed run would go different ways through the
        curriculum.
        """
        sums = self.sums
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            sums = sums.clone()
            torch.distributed.all_reduce(sums)
        beyond, spread, count = sums.tolist()
        # Labels that are all alike teach nothing: a loss of weight 0.
        return (beyond / spread, spread / count) if spread > 0 else (0.0, 0.0)

    def to_json(self) -> dict[str, Any]:
        return {"step": self.step, "sums": self.sums.tolist()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "_Heard":
        return cls(content["step"], torch.tensor(content["sums"]))


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
        self.controller = controller
        self.use_seam = use_seam
        self.weights = weights or LossWeights()
        self.group_size = group_size
        self.exact = exact
        self.preview_tiles = preview_tiles
        self.augment = augment
        self._heard: _Heard | None = None

    @property
    def min_batch(self) -> int:
        """Two where tiles exchange patches, else one."""
        return 1 if self.controller is None else 2

    def training_step(self, batch: Batch, context: StepContext) -> StepResult:
        """Return the loss of a batch; labels of -1 add nothing."""
        news = self._learn_level(context.step)
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
        levels: dict[str, float] = {}
        if self.controller is not None:
            mixed, parts["shuffled"] = self._shuffled_term(
                images, batch.labels, self.controller.level, context
            )
            loss = loss + self.weights.shuffle * parts["shuffled"]
            levels = self._levels(self.controller)
            if context.wants_preview:
                previews["shuffled"] = self._show_shuffled(
                    mixed, batch.tile_ids, self.controller.level
                )
        if context.step == _FIRST_CAM_STEP:
            previews |= self.epoch_end(context.epoch, context.step)
        detached = {name: value.detach() for name, value in parts.items()}
        return StepResult(loss, {**detached, **levels}, news, previews)

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
        if self.controller is None:
            return {}
        heard = None if self._heard is None else self._heard.to_json()
        return {"curriculum": self.controller.state_dict(), "heard": heard}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`.

        Raises
        ------
        ValueError
            If it is of a run with another method or other patch sizes.
        """
        if (self.controller is None) != ("curriculum" not in state):
            raise ValueError("Expected the state of a run with the same method")
        if self.controller is not None:
            self.controller.load_state_dict(state["curriculum"])
            heard = state["heard"]
            self._heard = None if heard is None else _Heard.from_json(heard)

    def _learn_level(self, step: int) -> tuple[CurriculumDecided, ...]:
        """Tell the controller what was heard in the step before this one.

        Once a step: where memory is short a step is several calls, which all must use
        one level, and whose mean counts.
        """
        heard = self._heard
        if self.controller is None or heard is None or heard.step == step:
            return ()
        self._heard = None
        loss, weight = heard.mean_over_processes()
        decided = self.controller.observe(loss, weight=weight)
        return () if decided is None else (decided,)

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

    def _shuffled_term(
        self,
        images: Tensor,
        labels: Tensor,
        level: ShuffleLevel,
        context: StepContext,
    ) -> tuple[Shuffled, Tensor]:
        mixed = shuffle_batch(
            images,
            labels,
            level,
            group_size=self.group_size,
            exact=self.exact,
            generator=context.generator,
        )
        # Seams are not tissue: inference must not inherit their statistics.
        with keep_statistics(self.module):
            output: ClassifierOutput = self.module(mixed.images)
        loss = classification_loss(output.logits, mixed.labels)
        sums = torch.stack(
            [
                loss.detach() - label_entropy(mixed.labels),
                label_spread(mixed.labels),
                loss.new_tensor(1.0),
            ]
        )
        before = None if self._heard is None else self._heard.sums
        sums = len(images) * sums
        self._heard = _Heard(
            context.step, sums if before is None else before.to(sums) + sums
        )
        return mixed, loss

    def _levels(self, controller: CurriculumController) -> dict[str, float]:
        state = controller.state
        levels = {
            "patch_size": float(state.level.patch_size),
            "shuffle_ratio": state.level.shuffle_ratio,
        }
        if state.feedback is not None:
            levels["feedback"] = state.feedback
        if state.threshold is not None:
            levels["threshold"] = state.threshold
        return levels

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
