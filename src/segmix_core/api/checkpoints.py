"""Where the weights are that a run or a training predicts with."""

from pathlib import Path

from segmix_core.errors import CheckpointError
from segmix_core.models.checkpoint import has_checkpoint
from segmix_core.runs.folder import RunFolder
from segmix_core.training.resume import BEST
from segmix_core.training.start import LAST

FOLDER = "checkpoints"
"""Of checkpoints, in the folder of a training."""
COMPLETED = "completed"
"""What the checkpoint of a saved model calls whether its training ran to its end."""


def find_weights(run: RunFolder) -> Path:
    """Return the checkpoint of a run: its best epoch if it was to keep it, or the last.

    There may be nothing in that folder yet.
    """
    request = run.request()
    wants_best = request.config.get(request.stage, {}).get("keep") == BEST
    best = run.checkpoints_path / BEST
    return best if wants_best and has_checkpoint(best) else run.checkpoints_path / LAST


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint that is meant by a path.

    Parameters
    ----------
    path
        A checkpoint, the folder of a training, or a run folder.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    if (path / "config.json").is_file():
        places = [find_weights(RunFolder(path.absolute()))]
    else:
        inside = [
            folder / name for folder in (path, path / FOLDER) for name in (BEST, LAST)
        ]
        places = [path, *inside]
    for place in places:
        if has_checkpoint(place):
            return place
    raise CheckpointError(
        f"{path} has no trained model.",
        "Choose a run folder, or a folder that a model was saved in.",
    )
