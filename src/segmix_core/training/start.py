"""How trainings begin: where they compute, and from which checkpoint they go on."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from segmix_core.events import StageStarted
from segmix_core.models.checkpoint import has_checkpoint, load_checkpoint
from segmix_core.models.precision import resolve_precision
from segmix_core.settings import MachineSettings
from segmix_core.training.device import (
    launched_processes,
    make_fabric,
    resolve_device,
    set_threads,
)
from segmix_core.training.task import Listener

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LAST = "last"
"""Folder of the checkpoint that a run goes on from, and that is used."""


def prepare_device(settings: MachineSettings) -> torch.device:
    """Limit the threads as the settings say, and return where to compute.

    Raises
    ------
    ConfigError
        If there is no such device here.
    """
    set_threads(settings.threads)
    return resolve_device(settings.device)


def launch_fabric(settings: MachineSettings) -> "Fabric":
    """Return the Fabric of this process, one of several if torchrun started it.

    Raises
    ------
    ConfigError
        If there is no such device, or it has no such precision.
    """
    device = prepare_device(settings)
    processes, nodes = launched_processes(os.environ)
    precision = resolve_precision(settings.precision, device, trains=True)
    return make_fabric(device, precision=precision, processes=processes, nodes=nodes)


def begin_training(
    listener: Listener,
    stage: str,
    *,
    checkpoints: Path,
    total_steps: int,
    device: torch.device,
) -> Path | None:
    """Tell that a training starts; return the checkpoint it goes on from, if any.

    Raises
    ------
    CheckpointError
        If the checkpoint is broken.
    """
    last = checkpoints / LAST
    resume_from = last if has_checkpoint(last) else None
    listener.emit(
        StageStarted(
            stage=stage,
            total_steps=total_steps,
            device=str(device),
            resumed_at=load_checkpoint(last).step if resume_from else 0,
        )
    )
    return resume_from
