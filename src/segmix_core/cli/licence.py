"""The licence of weights is told before a run uses them."""

from segmix_core.cli.voice import Voice
from segmix_core.config import RunConfig
from segmix_core.encoders import SCRATCH
from segmix_core.licences import UNKNOWN, find_licence, licence_note
from segmix_core.runs.request import RunRequest


def tell_licence(request: RunRequest, voice: Voice) -> None:
    """Print the licence of the weights that a training begins with, on stderr."""
    settings = RunConfig.parse(request.config).train
    if request.stage != "train" or settings.weights == SCRATCH:
        return
    licence = find_licence(settings.backbone)
    if licence is UNKNOWN:
        # Imported late: it loads torch, and most runs need no more than the table.
        from segmix_core.models.timm_backbone import published_licence

        licence = published_licence(settings.backbone)
    note = licence_note(settings.backbone, licence)
    if note:
        voice.note(note)
