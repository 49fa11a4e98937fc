"""Tiles shown to a classifier, in the order of their rows."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from segmix_core.data.batch import Batch
from segmix_core.data.batches import BatchPlan, TileBatches
from segmix_core.data.samples import SampleSource, TileSamples
from segmix_core.data.tile_reader import TileReader
from segmix_core.data.unreadable_tiles import UnreadableTiles
from segmix_core.errors import SlideError
from segmix_core.events import Event
from segmix_core.geometry import next_multiple
from segmix_core.inference.cam_maps import CamResult, cam_maps
from segmix_core.inference.evidence import Evidence
from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.memory import PartsThatFit
from segmix_core.models.precision import Precision
from segmix_core.project.records import TileTable
from segmix_core.settings import CamSettings
from segmix_core.slides.slide import RgbArray

Emit = Callable[[Event], None]


def predict_cams(
    model: CamClassifier,
    samples: SampleSource,
    settings: CamSettings,
    emit: Emit,
    *,
    edge: int,
    margin: int = 0,
    precision: Precision = "float32",
) -> Generator[tuple[Batch, CamResult], None, None]:
    """Yield batches of tiles with their maps; close the generator, or use it up.

    Parameters
    ----------
    model
        On its device.
    samples
        The tiles, each with ``margin`` pixels around it. At its edges a network knows
        least, so tiles of larger images are shown with what is around them.
    settings
        Scales, flips, refinement and batch size.
    emit
        Takes warnings.
    edge
        Of a batch's images without margin, in pixels.
    margin
        A multiple of the model's ``size_multiple``; batches and maps are without it.
    precision
        Numbers that the network computes in.
    """
    device = next(model.parameters()).device
    plan = BatchPlan(
        tile_px=edge + 2 * margin, batch_size=settings.batch_size, in_order=True
    )
    parts = PartsThatFit()

    def predict(images: Tensor) -> CamResult:
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
            found = parts.ask(predict, batch.images)
            yield _without(batch, margin), _joined(found)


def predict_tile_cams(
    model: CamClassifier,
    tiles: TileTable,
    reader: TileReader,
    settings: CamSettings,
    emit: Emit,
    *,
    edge: int,
    precision: Precision = "float32",
) -> Generator[tuple[Batch, CamResult], None, None]:
    """Do the same with tiles of a project, shown with what is around them."""
    margin = _margin(model, tiles, reader, settings.context_px)
    return predict_cams(
        model,
        TileSamples(tiles, reader, margin),
        settings,
        emit,
        edge=edge,
        margin=margin,
        precision=precision,
    )


def gather_evidence(
    predicted: Generator[tuple[Batch, CamResult], None, None],
    model: CamClassifier,
    samples: SampleSource,
    rgb: Callable[[int], RgbArray],
    rules: Callable[[int], PseudoMaskRules],
    emit: Emit,
) -> Iterator[tuple[Evidence, PseudoMaskRules] | None]:
    """Yield what is known of each tile, in order; None for one that cannot be read.

    Parameters
    ----------
    predicted
        From :func:`predict_cams`, of ``samples``.
    model, samples
        As there.
    rgb
        Pixels (h, w, 3) of a row as they are, without margin or changed colors: what is
        glass, and where edges are, they tell.
    rules
        How the mask of a row is made.
    emit
        Takes warnings.

    Raises
    ------
    JobError
        If too many tiles cannot be read.
    """
    row, lost = 0, UnreadableTiles(len(samples.ids))
    with closing(predicted) as running:
        for batch, found in running:
            cams, sure = found.cam.cpu().numpy(), found.probabilities.cpu().numpy()
            for index, tile_id in enumerate(batch.tile_ids.tolist()):
                pixels = None
                # A tile that could not be read has another one in its place.
                if tile_id == samples.ids[row]:
                    try:
                        pixels = rgb(row)
                    except SlideError as error:
                        # The network still has it in memory.
                        emit(lost.add(samples.name(row), error))
                if pixels is None:
                    yield None
                else:
                    shape = (pixels.shape[0], pixels.shape[1])
                    # What was continued beyond a small tile is not a part of it.
                    high, wide = (-(-size // model.stride) for size in shape)
                    evidence = Evidence(
                        cams[index][:, :high, :wide],
                        model.stride,
                        shape,
                        samples.labels[row],
                        sure[index],
                        pixels,
                        model.shared_foreground,
                    )
                    yield evidence, rules(row)
                row += 1


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
