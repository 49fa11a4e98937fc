"""One step of training the maps of a CAM classifier on masks.

The masks come from another network (self-training), or are ground truth as an upper
bound.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from segmix_core.data.batch import Batch
from segmix_core.data.symmetries import Codes, draw_symmetries, turn_each
from segmix_core.models.cam_classifier import CamClassifier, ClassifierOutput
from segmix_core.project.records import BACKGROUND, IGNORE_INDEX
from segmix_core.training.cam_preview import preview_cams
from segmix_core.training.task import PreviewArrays, StepContext, StepResult
from segmix_core.training.views import jitter_colors


class SupervisedTask:
    """Trains each pixel of the maps on masks: per class, or foreground and class.

    Tiles are augmented as for the methods that learn from labels.

    Parameters
    ----------
    module
        To train.
    augment
        Rotate tiles and change their colors.
    preview_tiles
        Tiles whose maps :meth:`epoch_end` shows, on any device.
    """

    min_batch = 1

    def __init__(
        self,
        module: CamClassifier,
        *,
        augment: bool = True,
        preview_tiles: Batch | None = None,
    ) -> None:
        self.module = module
        self.augment = augment
        self.preview_tiles = preview_tiles

    def training_step(self, batch: Batch, context: StepContext) -> StepResult:
        """Return the loss of a batch with masks.

        Raises
        ------
        ValueError
            If the batch has no masks.
        """
        if self.augment:
            batch = _augmented(batch, context.generator)
        masks, weights = _masks_of(batch)
        output: ClassifierOutput = self.module(batch.images)
        learn = shared_map_loss if self.module.shared_foreground else map_loss
        loss = learn(output.scores, masks, weights, _decided(batch))
        return StepResult(loss, {"map": loss.detach()})

    def amount(self, batch: Batch) -> float:
        """Return the total weight of the pixels in the loss.

        Raises
        ------
        ValueError
            If the batch has no masks.
        """
        masks, weights = _masks_of(batch)
        decided = _decided(batch)
        if self.module.shared_foreground:
            decided = decided.any(dim=1, keepdim=True)
        return float(_counted(masks, weights, decided).sum())

    def epoch_end(self, epoch: int, step: int) -> Mapping[str, PreviewArrays]:
        """Return the maps of the preview tiles; see :func:`preview_cams`."""
        return preview_cams(self.module, self.preview_tiles)

    def state(self) -> dict[str, Any]:
        """Return {}: the module has all state."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Do nothing, as :meth:`state` is empty."""


def map_loss(cam: Tensor, masks: Tensor, weights: Tensor, decided: Tensor) -> Tensor:
    """Return the binary cross entropy of maps with masks.

    Parameters
    ----------
    cam
        (B, C, h, w), raw scores; resized bilinearly to the masks.
    masks
        (B, H, W) uint8 class index (column + 1), 0 none; 255 ignored.
    weights
        (B, H, W) >= 0.
    decided
        (B, C, H, W) or (B, C, 1, 1) bool: classes that the mask decides, per pixel or
        per tile; others are ignored.

    Returns
    -------
    Tensor
        Scalar >= 0: weighted mean over pixels and decided columns; 0 without any.
    """
    scores = F.interpolate(
        cam.float(), masks.shape[-2:], mode="bilinear", align_corners=False
    )
    columns = torch.arange(1, cam.shape[1] + 1, device=masks.device)
    truth = (masks[:, None] == columns[None, :, None, None]).float()
    each = F.binary_cross_entropy_with_logits(scores, truth, reduction="none")
    counted = _counted(masks, weights, decided)
    return (each * counted).sum() / counted.sum().clamp(min=1e-6)


def shared_map_loss(
    scores: Tensor, masks: Tensor, weights: Tensor, decided: Tensor
) -> Tensor:
    """Return the cross entropy of background and the classes in the foreground.

    A pixel of a decided class has that class. Any other pixel is background or an
    undecided class.

    Parameters
    ----------
    scores
        (B, 1 + C, h, w): of the foreground, then of the classes; resized bilinearly.
    masks, weights, decided
        As for :func:`map_loss`.

    Returns
    -------
    Tensor
        Scalar >= 0: weighted mean over pixels with a decided column; 0 without any.
    """
    scores = F.interpolate(
        scores.float(), masks.shape[-2:], mode="bilinear", align_corners=False
    )
    foreground, classes = scores[:, :1], scores[:, 1:].log_softmax(dim=1)
    sure = torch.cat(
        [F.logsigmoid(-foreground), F.logsigmoid(foreground) + classes], dim=1
    )
    own, known = _own_column(masks, decided)
    rest = F.pad(~decided, (0, 0, 0, 0, 1, 0), value=True)
    allowed = torch.where(known[:, None], own, rest)
    each = -sure.masked_fill(~allowed, -torch.inf).logsumexp(dim=1)
    counted = _counted(masks, weights, decided.any(dim=1, keepdim=True))[:, 0]
    return (each * counted).sum() / counted.sum().clamp(min=1e-6)


def _own_column(masks: Tensor, decided: Tensor) -> tuple[Tensor, Tensor]:
    """Return the class of pixels, (B, 1 + C, H, W), and if it is decided, (B, H, W)."""
    values = torch.where(masks == IGNORE_INDEX, BACKGROUND, masks).long()
    own = F.one_hot(values, decided.shape[1] + 1).movedim(-1, 1).bool()
    known = (own[:, 1:] & decided).any(dim=1)
    return own, known


def _counted(masks: Tensor, weights: Tensor, decided: Tensor) -> Tensor:
    """Return the weights (B, C, H, W) of pixels and columns; ignored ones have 0."""
    return (weights * (masks != IGNORE_INDEX))[:, None] * decided


def _decided(batch: Batch) -> Tensor:
    """Return the classes that masks decide: (B, C, H, W), or (B, C, 1, 1) by labels."""
    by_labels = (batch.labels > 0)[:, :, None, None]
    if batch.corrected is None:
        return by_labels
    # A corrected pixel decides all classes, even those unknown in the labels of the
    # tile.
    return by_labels | batch.corrected[:, None]


def _masks_of(batch: Batch) -> tuple[Tensor, Tensor]:
    if batch.masks is None or batch.weights is None:
        raise ValueError("The batch has no masks")
    return batch.masks, batch.weights


def _augmented(batch: Batch, generator: torch.Generator) -> Batch:
    """Augment tiles: rotate them with their masks, and change colors."""
    square = batch.images.shape[-1] == batch.images.shape[-2]
    turns = draw_symmetries(len(batch), generator, square=square)
    return replace(
        batch,
        images=jitter_colors(turn_each(batch.images, turns), generator=generator),
        masks=_turned(batch.masks, turns),
        weights=_turned(batch.weights, turns),
        corrected=_turned(batch.corrected, turns),
    )


def _turned(pixels: Tensor | None, turns: Codes) -> Tensor | None:
    return None if pixels is None else turn_each(pixels[:, None], turns)[:, 0]
