"""Print the license of weights before a run uses them."""

from collections.abc import Iterable

from segmix_core.cli.console import Console
from segmix_core.encoders import SCRATCH
from segmix_core.licenses import (
    UNKNOWN,
    find_license,
    license_note,
    weights_of_encoder,
)
from segmix_core.runs.request import RunRequest
from segmix_core.settings import RunSettings


def print_license(request: RunRequest, console: Console) -> None:
    """Print the license of the initial weights of a training to stderr."""
    print_licenses([(request.stage, RunSettings.parse(request.config))], console)


def print_licenses(stages: Iterable[tuple[str, RunSettings]], console: Console) -> None:
    """Print the licenses of the initial weights of stages to stderr, each once.

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
    terms = find_license(network)
    if terms is UNKNOWN:
        # Imported late: it loads torch, and most runs need only the table.
        from segmix_core.models.timm_backbone import published_license

        terms = published_license(network)
    note = license_note(network, terms)
    if note:
        console.note(note)


def _loaded(stage: str, config: RunSettings) -> str | None:
    """Return the network whose published weights a stage uses, or None."""
    if stage == "train" and config.train.weights != SCRATCH:
        return config.train.backbone
    if stage == "train-segmenter" and config.segmenter.pretrained:
        return weights_of_encoder(config.segmenter.encoder)
    return None
