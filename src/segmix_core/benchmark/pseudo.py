"""Masks of the train images that a method makes, for a segmenter to learn from."""

import numpy as np
import numpy.typing as npt

from segmix_core.benchmark.maps import MapsOfPixels
from segmix_core.benchmark.protocols import Protocol
from segmix_core.config import PseudoMaskConfig
from segmix_core.inference.pseudo_masks import make_pseudo_mask


def pseudo_masks(
    protocol: Protocol,
    maps_of: MapsOfPixels,
    threshold: float | None,
    settings: PseudoMaskConfig,
) -> list[npt.NDArray[np.uint8]]:
    """Return the pseudo mask of each item to learn from, as a project makes them.

    Labels of train are known, so a class that is absent takes part nowhere, and a
    window of one tag is that tag.

    Parameters
    ----------
    protocol
        Whose items, and which rules.
    maps_of
        Maps of the method.
    threshold
        As chosen on val; None where the protocol has none.
    settings
        Margin, smallest object and normalisation.

    Returns
    -------
    list of array
        (h, w) uint8: label column + 1, 0 background, 255 undecided.
    """
    rules = protocol.pseudo_rules(threshold, settings)
    samples = protocol.training_samples()
    masks = []
    for row in range(len(samples.tiles)):
        pixels, labels = samples.read(row).image, samples.tiles.labels[row]
        mask, _ = make_pseudo_mask(
            maps_of(pixels),
            (pixels.shape[0], pixels.shape[1]),
            labels,
            # Only unknown labels ask for it, and there are none.
            np.zeros(len(labels), np.float32),
            rules=rules,
        )
        masks.append(mask)
    return masks
