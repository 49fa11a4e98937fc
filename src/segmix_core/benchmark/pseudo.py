"""Masks of the train images that a method makes, for a segmenter to learn from."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby, islice

import numpy as np
import numpy.typing as npt

from segmix_core.benchmark.maps import MapsOfPixels
from segmix_core.benchmark.protocols import Protocol
from segmix_core.inference.pseudo_masks import make_pseudo_mask
from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.sections.pseudo_masks import PseudoMaskConfig


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
        Margin, smallest object and hole in pixels, normalisation and refinement.

    Returns
    -------
    list of array
        (h, w) uint8: label column + 1, 0 background, 255 undecided.
    """
    rules = replace(
        protocol.pseudo_rules(threshold, settings),
        refinement=settings.refinement,
        superpixel_px=settings.superpixel_px,
        superpixel_share=settings.superpixel_share,
        walker_seeds=settings.walker_seeds,
        walker_beta=settings.walker_beta,
    )
    samples = protocol.training_samples()
    rows = range(len(samples.tiles))
    masks = []
    for _, group in groupby(rows, lambda row: samples.read(row).image.shape):
        for some in _batched(group):
            images = np.stack([samples.read(row).image for row in some])
            labels = samples.tiles.labels[some]
            tiles = zip(maps_of(images), labels, images, strict=True)
            masks += [_mask(*tile, rules) for tile in tiles]
    return masks


def _batched(rows: Iterable[int], size: int = 32) -> Iterator[list[int]]:
    """Yield the rows in lists of ``size``, the last maybe shorter."""
    rest = iter(rows)
    while some := list(islice(rest, size)):
        yield some


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
