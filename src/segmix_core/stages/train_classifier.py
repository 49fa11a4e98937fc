"""The stage "train": a CAM classifier from tile labels."""

from typing import Any

from segmix_core.api.project_training import fit_project
from segmix_core.data.project_tiles import labeled_tiles
from segmix_core.stages.job import Job, Stopped
from segmix_core.training.start import launch_fabric


def train_classifier(job: Job) -> dict[str, Any]:
    """Train on the labeled tiles; resume if the run has a checkpoint.

    Raises
    ------
    ProjectError
        If the labels cannot train a classifier.
    ConfigError
        If settings do not suit the tiles.
    Stopped
        If the user asks to stop before the first step.
    """
    tiles = len(labeled_tiles(job.store))
    trained = fit_project(
        job.store,
        job.config,
        job.run,
        fabric=launch_fabric(job.config.machine),
        listener=job.writer,
    )
    if trained is None:
        raise Stopped
    result, _ = trained
    return {"steps": result.step, "tiles": tiles}
