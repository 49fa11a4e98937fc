"""The licence of weights is told before a run uses them."""

from segmix_core.cli.voice import Voice
from segmix_core.config import RunConfig
from segmix_core.encoders import SCRATCH
from segmix_core.licences import (
    UNKNOWN,
    find_licence,
    licence_note,
    weights_of_encoder,
)
from segmix_core.runs.request import RunRequest


def tell_licence(request: RunRequest, voice: Voice) -> None:
    """Print the licence of the weights that a training begins with, on stderr."""
    network = _loaded(request)
    if network is None:
        return
    licence = find_licence(network)
    if licence is UNKNOWN:
        # Imported late: it loads torch, and most runs need no more than the table.
        from segmix_core.models.timm_backbone import published_licence

        licence = published_licence(network)
    note = licence_note(network, licence)
    if note:
        voice.note(note)


def _loaded(request: RunRequest) -> str | None:
    """Return the network whose published weights a run begins with; None: none."""
    config = RunConfig.parse(request.config)
    if request.stage == "train" and config.train.weights != SCRATCH:
        return config.train.backbone
    if request.stage == "train-segmenter" and config.segmenter.pretrained:
        return weights_of_encoder(config.segmenter.encoder)
    return None
