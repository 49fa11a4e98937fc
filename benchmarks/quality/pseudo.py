"""Masks of the train images that a method makes, for a segmenter to learn from."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from benchmarks.quality.maps import MapsOfName, class_maps, of_images
from benchmarks.quality.protocol import Protocol
from benchmarks.quality.protocol_maps import protocol_maps
from benchmarks.quality.samples import MaskedSamples
from segmix_core.data.samples import SampleSource
from segmix_core.inference.pseudo_masks import make_pseudo_mask
from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.settings import PseudoMaskSettings, RunSettings
from segmix_core.stages.methods import shares_foreground
from segmix_core.stages.weights import prepare_device
from segmix_core.training.task import Listener

# Windows of an image stand together in the table.
_KEPT_IMAGES = 64


def pseudo_masks(
    protocol: Protocol,
    maps_of: MapsOfName,
    threshold: float | None,
    settings: PseudoMaskSettings,
) -> list[npt.NDArray[np.uint8]]:
    """Return the pseudo mask of each item to learn from, as a project makes them.

    Labels of train are known, so a class that is absent takes part nowhere, and a
    window of one tag is that tag.

    Parameters
    ----------
    protocol
        Whose items, and which rules.
    maps_of
        Maps of the method, by the name of the image.
    threshold
        As chosen on val; None where the protocol has none.
    settings
        Margin, smallest object and hole in pixels, and normalization.

    Returns
    -------
    list of array
        (h, w) uint8: label column + 1, 0 background, 255 undecided.
    """
    rules = protocol.pseudo_rules(threshold, settings)
    samples = protocol.training_samples()

    # Windows are seen with what is around them, as they are when an image is scored.
    image_maps = lru_cache(maxsize=_KEPT_IMAGES)(maps_of)
    masks = []
    for row, labels in enumerate(samples.tiles.labels):
        maps = image_maps(samples.image_name(row))
        pixels = samples.read(row).image
        masks.append(_mask(samples.cut(row, maps), labels, pixels, rules))
    return masks


@dataclass(frozen=True, slots=True)
class Teacher:
    """Makes the masks of train for the next network of a self-training."""

    protocol: Protocol
    config: RunSettings

    def __call__(self, model: CamClassifier, listener: Listener) -> SampleSource:
        """Return the tiles with the masks that the model makes of them."""
        protocol = self.protocol
        device = prepare_device(self.config.machine)
        model = model.eval().to(device)
        maps = protocol_maps(protocol, model, class_maps(model, self.config))
        threshold = protocol.fit_threshold(of_images(maps))
        masks = pseudo_masks(protocol, maps, threshold, self.config.pseudo_masks)
        # Where an image has one class and background, its mask tells of all classes.
        decided = (
            (1,) * len(protocol.label_names)
            if shares_foreground(self.config)
            else protocol.decided_columns()
        )
        samples = MaskedSamples(protocol.training_samples(), masks, decided)
        return samples.with_normalised_stain() if model.normalised_stain else samples


def _mask(
    maps: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int8],
    rgb: npt.NDArray[np.uint8],
    rules: PseudoMaskRules,
) -> npt.NDArray[np.uint8]:
    mask, _ = make_pseudo_mask(
        maps,
        (maps.shape[1], maps.shape[2]),
        labels,
        # Only unknown labels ask for it, and there are none.
        np.zeros(len(labels), np.float32),
        rgb,
        rules=rules,
    )
    return mask
