"""The teacher of a project's tiles, shown with what is around them."""

from collections.abc import Callable, Iterator

from segmix_core.data.samples import TileSamples
from segmix_core.data.tile_reader import TileReader
from segmix_core.events import Event
from segmix_core.inference.evidence import Evidence
from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.inference.sample_cams import gather_evidence, predict_tile_cams
from segmix_core.inference.teacher import Teacher
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.precision import resolve_precision
from segmix_core.slides.slide import RgbArray
from segmix_core.stages.job import Job
from segmix_core.stages.mask_rules import rules_of
from segmix_core.stages.weights import launch_fabric, prepare_device


def project_teacher(
    job: Job, samples: TileSamples, reader: TileReader, raw: TileReader, edge: int
) -> Teacher:
    """Return the teacher of a job's training.

    Parameters
    ----------
    job
        With the settings of CAMs and pseudo masks.
    samples, reader
        Which tiles, and their pixels as the networks see them.
    raw
        Reads the pixels as they are.
    edge
        Of a batch's images.
    """
    config, tiles = job.config, samples.tiles
    device = prepare_device(config.machine)
    precision = resolve_precision(config.machine.precision, device)

    def look(
        model: CamClassifier, emit: Callable[[Event], None]
    ) -> Iterator[tuple[Evidence, PseudoMaskRules] | None]:
        predicted = predict_tile_cams(
            model, tiles, reader, config.cams, emit, edge=edge, precision=precision
        )
        return gather_evidence(predicted, model, samples, read_raw, rules, emit)

    def read_raw(row: int) -> RgbArray:
        return raw.read_pixels(int(tiles.image_ids[row]), tiles.box(row))

    def rules(row: int) -> PseudoMaskRules:
        image = raw.image(int(tiles.image_ids[row]))
        return rules_of(config.pseudo_masks, image.working_mpp)

    return Teacher(
        samples,
        look,
        corrections=samples.masks(job.store.corrections),
        corrected_weight=config.segmenter.corrected_weight,
        agree=launch_fabric(config.machine, device).broadcast,
    )
