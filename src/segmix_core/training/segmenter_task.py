"""One step of training a segmenter on masks."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from segmix_core.data.batch import Batch
from segmix_core.models.segmenter import Segmenter
from segmix_core.training.noisy_labels import PixelLoss
from segmix_core.training.pixel_losses import (
    NO_CHANNEL,
    channel_targets,
    pixel_accuracy,
    soft_dice_loss,
)
from segmix_core.training.task import PreviewArrays, StepContext, StepResult


class SegmenterTask:
    """Trains a segmenter by a pixel loss and Dice, on pseudo and corrected masks.

    Parameters
    ----------
    module
        The segmenter.
    pixel_loss
        Added to the Dice loss, with weight 1.
    dice_weight
        Weight of the Dice loss.
    class_weights
        Weights of the channels in the pixel loss; None: all equal.
    """

    min_batch = 1

    def __init__(
        self,
        module: Segmenter,
        *,
        pixel_loss: PixelLoss | None = None,
        dice_weight: float = 0.5,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        channels = len(module.class_indices)
        if dice_weight < 0:
            raise ValueError(f"dice_weight must be >= 0, not {dice_weight}")
        if class_weights is not None and len(class_weights) != channels:
            raise ValueError(
                f"There must be {channels} class weights, not {len(class_weights)}"
            )
        self.module = module
        self._pixel_loss = pixel_loss or PixelLoss()
        self._dice_weight = dice_weight
        self._class_weights = (
            None if class_weights is None else torch.tensor(list(class_weights))
        )

    def training_step(self, batch: Batch, context: StepContext) -> StepResult:
        """Return the loss of a batch with masks.

        Raises
        ------
        ValueError
            If the batch has no masks.
        """
        if batch.masks is None or batch.weights is None:
            raise ValueError("The batch has no masks")
        images, masks, weights = batch.images, batch.masks, batch.weights
        corrected = batch.corrected
        if corrected is None:
            corrected = torch.zeros_like(masks, dtype=torch.bool)
        if len(images) == 1:
            # Batch normalization needs several values per channel, which the coarsest
            # maps of a single tile lack, so add its mirror image.
            images, masks, weights, corrected = (
                torch.cat([pixels, pixels.flip(-1)])
                for pixels in (images, masks, weights, corrected)
            )
        # Sums over many pixels need 32 bits, even if the network uses 16.
        logits = self.module(images).float()
        targets = channel_targets(masks, self.module.class_indices)
        class_weights = self._class_weights
        if class_weights is not None:
            class_weights = class_weights.to(logits.device)
        loss = self._pixel_loss(logits, targets, weights, corrected, class_weights)
        parts = {self._pixel_loss.name: loss.detach()}
        if self._dice_weight > 0:
            dice = soft_dice_loss(logits, targets, weights)
            loss = loss + self._dice_weight * dice
            parts["dice"] = dice.detach()
        accuracy = pixel_accuracy(logits.detach(), targets, weights)
        return StepResult(loss, {**parts, "pixel_accuracy": accuracy})

    def amount(self, batch: Batch) -> float:
        """Return the sum of the pixels' weights."""
        if batch.masks is None or batch.weights is None:
            return 0.0
        targets = channel_targets(batch.masks, self.module.class_indices)
        counted = batch.weights * (targets != NO_CHANNEL)
        if self._class_weights is not None:
            by_class = self._class_weights.to(counted)
            counted = counted * by_class[targets.clamp(min=0)]
        return float(counted.sum())

    def epoch_end(self, epoch: int, step: int) -> Mapping[str, PreviewArrays]:
        """Return {}: a segmenter has no previews."""
        return {}

    def state(self) -> dict[str, Any]:
        """Return {}: the module has all state."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Do nothing, as :meth:`state` is empty."""
