"""What stages that use a network need: where it computes, and its weights."""

import torch

from segmix_core.config import MachineConfig
from segmix_core.errors import CheckpointError
from segmix_core.models.checkpoint import Checkpoint, load_checkpoint
from segmix_core.stages.job import Job
from segmix_core.training.device import resolve_device, set_threads


def prepare_device(settings: MachineConfig) -> torch.device:
    """Limit the threads as the settings say, and return where to compute.

    Raises
    ------
    ConfigError
        If there is no such device here.
    """
    set_threads(settings.threads)
    return resolve_device(settings.device)


def load_input(job: Job, stage: str, kind: str) -> Checkpoint:
    """Return the newest weights of the run of ``stage`` that the job reads.

    Raises
    ------
    CheckpointError
        If there are none, or the project has another number of classes now.
    """
    path = job.input_run(stage) / "checkpoints" / "last"
    checkpoint = load_checkpoint(path, kind=kind)
    # A renamed class keeps its index, and its weights.
    if len(checkpoint.class_names) != len(job.class_names):
        raise CheckpointError(
            f"weights for {len(job.class_names)} classes",
            f"weights for {len(checkpoint.class_names)}",
            "The project's classes have changed since; train again.",
        )
    return checkpoint
