"""Models from disk."""

from pathlib import Path

import torch

from segmix_core.api.checkpoints import COMPLETED, find_checkpoint
from segmix_core.api.classifier import TrainedClassifier
from segmix_core.api.segmenter import TrainedSegmenter
from segmix_core.models.cam_classifier import load_classifier
from segmix_core.models.checkpoint import load_checkpoint
from segmix_core.models.segmenter import load_segmenter
from segmix_core.training.device import resolve_device


def load_model(
    path: Path | str, *, device: str = "auto"
) -> TrainedClassifier | TrainedSegmenter:
    """Load a trained classifier or segmenter.

    Nothing in the folder is executed: weights are safetensors, the rest is JSON.

    Parameters
    ----------
    path
        A folder that a model was saved in, the ``checkpoints`` folder of a training, or
        a run folder of a project.
    device
        auto, cpu, cuda, cuda:N or mps.

    Returns
    -------
    TrainedClassifier or TrainedSegmenter
        By what the folder has.

    Raises
    ------
    CheckpointError
        If there is no model, or it is damaged or of a newer version.
    ConfigError
        If there is no such device.

    Examples
    --------
    >>> batch = np.zeros((2, 3, 32, 32), np.uint8), np.array([[1, 0], [0, 1]])
    >>> model = sx.train(
    ...     [batch], classes=["gland", "stroma"], method=sx.Cam(epochs=1, width=8)
    ... )
    >>> model.save(folder / "model")
    >>> sx.load_model(folder / "model").class_names
    ('gland', 'stroma')
    """
    target = resolve_device(device)
    checkpoint = load_checkpoint(find_checkpoint(Path(path)))
    names, step = checkpoint.class_names, checkpoint.step
    completed = checkpoint.extra.get(COMPLETED) is not False
    # First weights are drawn before those of the checkpoint replace them.
    with torch.random.fork_rng(devices=[]):
        if checkpoint.kind == "segmenter":
            segmenter = load_segmenter(checkpoint).to(target)
            return TrainedSegmenter(segmenter, names, step=step, completed=completed)
        classifier = load_classifier(checkpoint).to(target)
        return TrainedClassifier(classifier, names, step=step, completed=completed)
