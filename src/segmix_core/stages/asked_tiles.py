"""Tiles shown to a classifier, in the order of their table."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from segmix_core.data.batch import Batch
from segmix_core.data.batches import BatchPlan, TileBatches
from segmix_core.data.samples import SampleSource, SurroundedSamples, TileSamples
from segmix_core.data.tile_reader import TileReader
from segmix_core.events import Event
from segmix_core.geometry import next_multiple
from segmix_core.inference.cam_maps import CamResult, cam_maps
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.memory import PartsThatFit
from segmix_core.models.precision import Precision
from segmix_core.project.records import TileTable
from segmix_core.settings import CamSettings


def ask_tiles(
    model: CamClassifier,
    tiles: TileTable,
    reader: TileReader,
    edge: int,
    settings: CamSettings,
    emit: Callable[[Event], None],
    precision: Precision = "float32",
) -> Generator[tuple[Batch, CamResult], None, None]:
    """Yield batches of tiles with their maps; close the generator, or use it up.

    Tiles that are a part of a larger image are seen with what is around them: at their
    edges a network knows least.

    Parameters
    ----------
    model
        Who is asked, on its device.
    tiles, reader
        Which tiles, and their pixels.
    edge
        Of a batch's images, in pixels.
    settings
        How to ask.
    emit
        Takes warnings.
    precision
        Numbers that the network computes in.
    """
    device = next(model.parameters()).device
    margin = _margin(model, tiles, reader, settings.context_px)
    samples: SampleSource = TileSamples(tiles, reader)
    if margin > 0:
        samples = SurroundedSamples(tiles, reader, margin)
    plan = BatchPlan(
        tile_px=edge + 2 * margin, batch_size=settings.batch_size, in_order=True
    )
    parts = PartsThatFit()

    def ask(images: Tensor) -> CamResult:
        return cam_maps(
            model,
            images.to(device),
            scales=settings.scales,
            flips=settings.flips,
            refine=settings.refine,
            margin=margin,
            precision=precision,
        )

    with closing(TileBatches(samples, plan, emit).batches(0)) as batches:
        for batch in batches:
            found = parts.ask(ask, batch.images)
            yield _without(batch, margin), _joined(found)


def count_batches(tiles: TileTable, settings: CamSettings) -> int:
    """Return how many batches :func:`ask_tiles` yields."""
    return -(-len(tiles) // settings.batch_size)


def _joined(found: Sequence[CamResult]) -> CamResult:
    if len(found) == 1:
        return found[0]
    return CamResult(
        torch.cat([part.cam for part in found]),
        torch.cat([part.probabilities for part in found]),
    )


def _margin(
    model: CamClassifier, tiles: TileTable, reader: TileReader, context_px: int
) -> int:
    """Return the context as a multiple that fits the model; 0 where there is none."""
    shapes = [
        (reader.image(image_id).height, reader.image(image_id).width)
        for image_id in np.unique(tiles.image_ids).tolist()
    ]
    largest = tiles.boxes[:, 2:].max(axis=0)
    if all((largest >= shape).all() for shape in shapes):
        return 0
    return next_multiple(context_px, model.size_multiple)


def _without(batch: Batch, margin: int) -> Batch:
    if margin == 0:
        return batch
    inner = slice(margin, -margin)
    return replace(
        batch, images=batch.images[..., inner, inner], valid=batch.valid - 2 * margin
    )
