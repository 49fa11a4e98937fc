"""The loss on tiles kept apart, once an epoch."""

from collections.abc import Callable, Mapping
from contextlib import closing

import torch
from torch import nn

from segmix_core.models.memory import PartsThatFit
from segmix_core.training.losses import classification_loss
from segmix_core.training.task import Loader

Validate = Callable[[nn.Module], Mapping[str, float]]
"""Scores of a module on tiles kept apart.

The highest "score" decides which epoch is best, or without one the lowest "loss".
"""


def tile_validation(loader: Loader, should_stop: Callable[[], bool]) -> Validate:
    """Return a measure of CAM classifiers for :func:`segmix_core.training.trainer.fit`.

    Parameters
    ----------
    loader
        Tiles with labels; its first epoch is read each time.
    should_stop
        Asked after every batch; nothing is measured then.

    Returns
    -------
    Validate
        Takes a classifier in evaluation mode and returns its classification loss as
        "loss": the mean over all known labels, whatever the batches.
    """

    @torch.no_grad()
    def validate(module: nn.Module) -> Mapping[str, float]:
        device = next(module.parameters()).device
        logits, labels, parts = [], [], PartsThatFit()
        with closing(loader.batches(0)) as batches:
            for batch in batches:
                logits += parts.ask(
                    lambda images: module(images.to(device)).logits.float().cpu(),
                    batch.images,
                )
                labels.append(batch.labels)
                if should_stop():
                    return {}
        loss = classification_loss(torch.cat(logits), torch.cat(labels))
        return {"loss": float(loss)}

    return validate
