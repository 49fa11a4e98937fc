"""Print the licence of weights before a run uses them."""

from collections.abc import Iterable

from segmix_core.cli.voice import Voice
from segmix_core.encoders import SCRATCH
from segmix_core.licences import (
    UNKNOWN,
    find_licence,
    licence_note,
    weights_of_encoder,
)
from segmix_core.runs.request import RunRequest
from segmix_core.settings import RunSettings


def tell_licence(request: RunRequest, voice: Voice) -> None:
    """Print the licence of the initial weights of a training to stderr."""
    tell_licences([(request.stage, RunSettings.parse(request.config))], voice)


def tell_licences(stages: Iterable[tuple[str, RunSettings]], voice: Voice) -> None:
    """Print the licences of the initial weights of stages to stderr, each once.

    Parameters
    ----------
    stages
        Name and settings of each.
    voice
        Prints them.
    """
    networks = (_loaded(stage, config) for stage, config in stages)
    for network in dict.fromkeys(networks):
        if network is not None:
            _tell(network, voice)


def _tell(network: str, voice: Voice) -> None:
    licence = find_licence(network)
    if licence is UNKNOWN:
        # Imported late: it loads torch, and most runs need only the table.
        from segmix_core.models.timm_backbone import published_licence

        licence = published_licence(network)
    note = licence_note(network, licence)
    if note:
        voice.note(note)


def _loaded(stage: str, config: RunSettings) -> str | None:
    """Return the network whose published weights a stage uses, or None."""
    if stage == "train" and config.train.weights != SCRATCH:
        return config.train.backbone
    if stage == "train-segmenter" and config.segmenter.pretrained:
        return weights_of_encoder(config.segmenter.encoder)
    return None
