"""Masks of the train images that a method makes, for a segmenter to learn from."""

from collections.abc import Iterable, Iterator
from itertools import groupby, islice

import numpy as np
import numpy.typing as npt

from segmix_core.benchmark.maps import MapsOfPixels
from segmix_core.benchmark.protocols import Protocol
from segmix_core.config import PseudoMaskConfig
from segmix_core.inference.pseudo_masks import PseudoMaskRules, make_pseudo_mask


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
        Margin, smallest object and hole in pixels, and normalisation.

    Returns
    -------
    list of array
        (h, w) uint8: label column + 1, 0 background, 255 undecided.
    """
    rules = protocol.pseudo_rules(threshold, settings)
    samples = protocol.training_samples()
    rows = range(len(samples.tiles))
    masks = []
    for _, group in groupby(rows, lambda row: samples.read(row).image.shape):
        for some in _batched(group):
            maps = maps_of(np.stack([samples.read(row).image for row in some]))
            labels = samples.tiles.labels[some]
            masks += [_mask(*tile, rules) for tile in zip(maps, labels, strict=True)]
    return masks


def _batched(rows: Iterable[int], size: int = 32) -> Iterator[list[int]]:
    """Yield the rows in lists of ``size``, the last maybe shorter."""
    rest = iter(rows)
    while some := list(islice(rest, size)):
        yield some


def _mask(
    maps: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int8],
    rules: PseudoMaskRules,
) -> npt.NDArray[np.uint8]:
    mask, _ = make_pseudo_mask(
        maps,
        (maps.shape[1], maps.shape[2]),
        labels,
        # Only unknown labels ask for it, and there are none.
        np.zeros(len(labels), np.float32),
        rules=rules,
    )
    return mask
