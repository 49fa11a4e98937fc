"""Masks of the train images that a method makes, for a segmenter to learn from."""

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from benchmarks.quality.maps import MapsOfName, class_maps, of_images
from benchmarks.quality.protocol import Protocol
from benchmarks.quality.protocol_maps import protocol_maps
from segmix_core.data.samples import MaskArray
from segmix_core.events import Event
from segmix_core.inference.evidence import Evidence
from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.inference.teacher import Teacher
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.settings import PseudoMaskSettings, RunSettings
from segmix_core.training.method_parts import parts_of, shares_foreground

# Windows of an image stand together in the table.
_KEPT_IMAGES = 64


def pseudo_masks(
    protocol: Protocol,
    maps_of: MapsOfName,
    threshold: float | None,
    settings: PseudoMaskSettings,
) -> list[MaskArray]:
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
    gathered = gather_evidence(protocol, maps_of, threshold, settings)
    return [evidence.mask(rules)[0] for evidence, rules in gathered]


def gather_evidence(
    protocol: Protocol,
    maps_of: MapsOfName,
    threshold: float | None,
    settings: PseudoMaskSettings,
) -> Iterator[tuple[Evidence, PseudoMaskRules]]:
    """Yield what the mask of each item is made of; as for :func:`pseudo_masks`."""
    rules = protocol.pseudo_rules(threshold, settings)
    samples = protocol.training_samples()
    # Windows are seen with what is around them, as they are when an image is scored.
    image_maps = lru_cache(maxsize=_KEPT_IMAGES)(maps_of)
    for row, labels in enumerate(samples.labels):
        pixels = samples.read(row).image
        evidence = Evidence(
            cam=samples.cut(row, image_maps(samples.image_name(row))),
            stride=None,
            shape=(pixels.shape[0], pixels.shape[1]),
            labels=labels,
            # Only unknown labels ask for it, and there are none.
            probabilities=np.zeros(len(labels), np.float32),
            rgb=pixels,
            shared_foreground=False,
        )
        yield evidence, rules


def protocol_teacher(protocol: Protocol, config: RunSettings) -> Teacher:
    """Return the teacher of the items of a protocol, cut from maps of whole images."""

    def look(
        model: CamClassifier, emit: Callable[[Event], None]
    ) -> Iterator[tuple[Evidence, PseudoMaskRules]]:
        maps = protocol_maps(protocol, model, class_maps(model.eval(), config))
        threshold = protocol.fit_threshold(of_images(maps))
        return gather_evidence(protocol, maps, threshold, config.pseudo_masks)

    samples = protocol.training_samples()
    if parts_of(config.train).normalized_stain:
        samples = samples.with_normalized_stain()
    # Where an image has one class and background, its mask tells of all classes.
    decides_all = (
        shares_foreground(config.train, config.pseudo_masks.background)
        or protocol.decides_all
    )
    labels = np.ones_like(samples.labels) if decides_all else samples.labels
    return Teacher(samples, look, labels)
