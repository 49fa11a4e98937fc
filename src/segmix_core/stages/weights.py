"""What stages that use a network need: where it computes, and its weights."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from segmix_core.errors import CheckpointError
from segmix_core.events import StageStarted
from segmix_core.models.checkpoint import (
    Checkpoint,
    has_checkpoint,
    load_checkpoint,
)
from segmix_core.models.precision import resolve_precision
from segmix_core.runs.folder import RunFolder
from segmix_core.settings import MachineSettings
from segmix_core.stages.classes import check_classes
from segmix_core.stages.job import Job
from segmix_core.training.device import (
    launched_processes,
    make_fabric,
    resolve_device,
    set_threads,
)
from segmix_core.training.resume import BEST
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


def launch_fabric(settings: MachineSettings, device: torch.device) -> "Fabric":
    """Return the Fabric of this process, one of several if torchrun started it.

    Raises
    ------
    ConfigError
        If the device has no such precision.
    """
    processes, nodes = launched_processes(os.environ)
    precision = resolve_precision(settings.precision, device, trains=True)
    return make_fabric(device, precision=precision, processes=processes, nodes=nodes)


def load_input(job: Job, stage: str, kind: str) -> Checkpoint:
    """Return the weights of the run of ``stage`` that the job reads.

    Those of the best epoch where the run was to keep them, else the newest.

    Raises
    ------
    CheckpointError
        If there are none, or the project has other classes now.
    """
    run = RunFolder(job.input_run(stage))
    folder = run.checkpoints_path
    best = folder / BEST
    wants_best = run.request().config.get(stage, {}).get("keep") == BEST
    name = BEST if wants_best and has_checkpoint(best) else LAST
    checkpoint = load_checkpoint(folder / name, kind=kind)
    check_classes(
        job.store,
        checkpoint.class_names,
        of="weights",
        remedy="train again.",
        error=CheckpointError,
    )
    return checkpoint


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
