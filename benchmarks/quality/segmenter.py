"""The project's segmenter, trained on the masks that a method makes of train."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.quality.protocol import Protocol
from benchmarks.quality.samples import batch_edge
from segmix_core.data.samples import MaskArray, MaskedSamples
from segmix_core.errors import JobError
from segmix_core.files import temporary_folder
from segmix_core.inference.slide_prediction import predict_probabilities
from segmix_core.models.precision import resolve_precision
from segmix_core.models.segmenter import Segmenter
from segmix_core.settings import RunSettings
from segmix_core.slides.slide import RgbArray
from segmix_core.training.segmenter import SegmenterSpec, fit_segmenter
from segmix_core.training.start import launch_fabric, prepare_device
from segmix_core.training.task import Listener

FindForeground = Callable[[RgbArray], npt.NDArray[np.bool_]]
"""(H, W, 3) uint8 RGB -> (H, W) foreground."""

_FOREGROUND = 1


def learn_masks(
    protocol: Protocol,
    masks: Sequence[MaskArray],
    config: RunSettings,
    listener: Listener,
) -> FindForeground | None:
    """Train a segmenter of foreground and background; None if asked to stop.

    Parameters
    ----------
    protocol
        Whose items the masks are of.
    masks
        (h, w) uint8 of each item: label column + 1, 0 none, 255 undecided.
    config
        With the settings of the segmenter, equal for all methods.
    listener
        Is told of progress.

    Raises
    ------
    JobError
        If no mask has a decided pixel.
    """
    regions = [protocol.as_foreground(mask) for mask in masks]
    plain = protocol.training_samples()
    samples = MaskedSamples(plain, regions.__getitem__)
    pixels = samples.count_pixels(_FOREGROUND, max_tiles=len(regions))
    if not pixels.any():
        raise JobError(
            "The masks of the train images have no pixel with a class.",
            "Lower pseudo_masks.margin or pseudo_masks.min_object_px.",
        )
    with temporary_folder() as checkpoints:
        result, segmenter = fit_segmenter(
            samples,
            pixels,
            SegmenterSpec(batch_edge(plain), ("foreground",), checkpoints),
            config.segmenter,
            fabric=launch_fabric(config.machine),
            listener=listener,
        )
    if result.reason != "completed":
        return None
    return _finder(segmenter, config)


def _finder(segmenter: Segmenter, config: RunSettings) -> FindForeground:
    device = prepare_device(config.machine)
    precision = resolve_precision(config.machine.precision, device)
    segmenter = segmenter.eval().to(device)
    classes = np.array(segmenter.class_indices)

    def find(pixels: RgbArray) -> npt.NDArray[np.bool_]:
        (probabilities,) = predict_probabilities(
            segmenter,
            pixels[None],
            flips=config.predict.flips,
            device=device,
            precision=precision,
        )
        return np.asarray(classes[probabilities.argmax(axis=0)] == _FOREGROUND)

    return find
