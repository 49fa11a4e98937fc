"""Print the licence of weights before a run uses them."""

from collections.abc import Iterable

from segmix_core.cli.console import Console
from segmix_core.encoders import SCRATCH
from segmix_core.licences import (
    UNKNOWN,
    find_licence,
    licence_note,
    weights_of_encoder,
)
from segmix_core.runs.request import RunRequest
from segmix_core.settings import RunSettings


def print_licence(request: RunRequest, console: Console) -> None:
    """Print the licence of the initial weights of a training to stderr."""
    print_licences([(request.stage, RunSettings.parse(request.config))], console)


def print_licences(stages: Iterable[tuple[str, RunSettings]], console: Console) -> None:
    """Print the licences of the initial weights of stages to stderr, each once.

    Parameters
    ----------
    stages
        Name and settings of each.
    console
        Prints them.
    """
    networks = (_loaded(stage, config) for stage, config in stages)
    for network in dict.fromkeys(networks):
        if network is not None:
            _tell(network, console)


def _tell(network: str, console: Console) -> None:
    licence = find_licence(network)
    if licence is UNKNOWN:
        # Imported late: it loads torch, and most runs need only the table.
        from segmix_core.models.timm_backbone import published_licence

        licence = published_licence(network)
    note = licence_note(network, licence)
    if note:
        console.note(note)


def _loaded(stage: str, config: RunSettings) -> str | None:
    """Return the network whose published weights a stage uses, or None."""
    if stage == "train" and config.train.weights != SCRATCH:
        return config.train.backbone
    if stage == "train-segmenter" and config.segmenter.pretrained:
        return weights_of_encoder(config.segmenter.encoder)
    return None
