"""Load the weights of the run that a stage reads."""

from segmix_core.api.checkpoints import find_weights
from segmix_core.errors import CheckpointError
from segmix_core.models.checkpoint import Checkpoint, load_checkpoint
from segmix_core.runs.folder import RunFolder
from segmix_core.stages.classes import check_classes
from segmix_core.stages.job import Job


def load_input(job: Job, stage: str, kind: str) -> Checkpoint:
    """Return the weights of the input run of ``stage``.

    Those of the best epoch if the run kept them, else the newest.

    Raises
    ------
    CheckpointError
        If there are none, or the project has other classes now.
    """
    run = RunFolder(job.input_run(stage))
    checkpoint = load_checkpoint(find_weights(run), kind=kind)
    check_classes(
        job.store,
        checkpoint.class_names,
        of="weights",
        hint="train again.",
        error=CheckpointError,
    )
    return checkpoint
