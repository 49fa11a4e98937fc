"""Masks moved to the edges that the pixels show.

CAMs are coarse: a cell is 8 or 16 pixels. Both ways here take the decided pixels of a
mask as evidence and let the image say how far each reaches; no value comes in that the
mask does not have.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from skimage.measure import label as connected_components
from skimage.segmentation import random_walker, slic

from segmix_core.inference.windows import window_starts
from segmix_core.project.records import IGNORE_INDEX

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
MaskArray = npt.NDArray[np.uint8]
RgbArray = npt.NDArray[np.uint8]
Window = tuple[slice, slice]

WINDOW_PX = 512
OVERLAP_PX = 64


def vote_in_superpixels(
    mask: MaskArray, rgb: RgbArray, *, area_px: int = 50, share: float = 0.6
) -> MaskArray:
    """Return the mask with each superpixel given to the value most of it has.

    Superpixels are those of SLIC (Achanta et al., TPAMI 2012).

    Parameters
    ----------
    mask
        (H, W): class indices; ignored pixels (255) do not vote but are voted on.
    rgb
        (H, W, 3) in 0..255.
    area_px
        Mean size of a superpixel in pixels, >= 1.
    share
        0..1: share of the votes that the winner needs; else the superpixel is ignored,
        as is one without votes. Of equal shares the lower index wins.
    """
    count = max(1, round(mask.size / area_px))
    parts = slic(rgb, n_segments=count, start_label=0, channel_axis=-1)
    values = np.unique(mask[mask != IGNORE_INDEX])
    if not values.size:
        return mask
    is_vote = mask != IGNORE_INDEX
    ballots = parts[is_vote] * len(values) + np.searchsorted(values, mask[is_vote])
    votes = np.bincount(ballots, minlength=(parts.max() + 1) * len(values))
    votes = votes.reshape(-1, len(values))
    winners = values[votes.argmax(axis=1)]
    most, all_votes = votes.max(axis=1), votes.sum(axis=1)
    winners[(most < share * all_votes) | (all_votes == 0)] = IGNORE_INDEX
    return np.asarray(winners[parts], np.uint8)


def walk_from_seeds(
    mask: MaskArray,
    lead: FloatArray,
    rgb: RgbArray,
    *,
    seeds: float = 0.5,
    beta: float = 130.0,
    margin: float = 0.0,
    closed: BoolArray | None = None,
) -> MaskArray:
    """Return the mask that a random walk from its surest pixels gives.

    Every other pixel becomes the value whose seeds a walker from there most likely
    meets first, where steps across edges of the image are unlikely (Grady, TPAMI 2006).

    Parameters
    ----------
    mask
        (H, W): class indices, 255 ignored.
    lead
        (H, W) in 0..1: how sure each pixel is.
    rgb
        (H, W, 3) in 0..255.
    seeds
        0..1: share of the pixels of each value, the surest, that stay as they are. Each
        value keeps at least one, so that the walk takes no value out.
    beta
        > 0: how much edges of the image hinder; 0.1 of it with ten times the contrast.
    margin
        0..1: where the two best probabilities are closer, the pixel becomes 255.
    closed
        (H, W): pixels that are no way and stay as they are; None: all are open.

    Notes
    -----
    A mask of fewer than two values, and an image of one colour, have nothing to walk
    by: the mask comes back. So do pixels that closed ones cut off from every seed.
    """
    is_open = np.ones(mask.shape, np.bool_) if closed is None else ~closed
    values = np.unique(mask[is_open & (mask != IGNORE_INDEX)])
    if len(values) < 2 or rgb.min() == rgb.max():
        return mask
    marks = np.where(is_open, 0, -1)
    for number, value in enumerate(values, start=1):
        own = is_open & (mask == value)
        marks[own & (lead >= np.quantile(lead[own], 1 - seeds))] = number
    islands = connected_components(is_open, connectivity=1)
    marks[~np.isin(islands, islands[marks > 0])] = -1
    if (marks != 0).all():
        return mask
    # The direct solver is exact, and on windows of this size as fast as the others.
    chances = random_walker(
        rgb, marks, beta=beta, mode="bf", channel_axis=-1, return_full_prob=True
    )
    second, best = np.partition(chances, -2, axis=0)[-2:]
    result = values[chances.argmax(axis=0)]
    result[best - second < margin] = IGNORE_INDEX
    return np.where(marks >= 0, result, mask)


def in_windows(
    refine: Callable[[Window], MaskArray],
    shape: tuple[int, int],
    *,
    window_px: int = WINDOW_PX,
    overlap_px: int = OVERLAP_PX,
) -> MaskArray:
    """Return a mask that is refined window by window, in bounded memory.

    Parameters
    ----------
    refine
        Returns the refined mask of a window, given its index.
    shape
        (H, W) of the mask.
    window_px, overlap_px
        Edge of a window, and by how much neighbours overlap; each keeps what is nearer
        to its own middle.
    """
    result = np.empty(shape, np.uint8)
    rows, cols = (_parts(edge, window_px, overlap_px) for edge in shape)
    for tall, kept_rows in rows:
        for wide, kept_cols in cols:
            part = refine((tall, wide))
            inner = part[_within(kept_rows, tall), _within(kept_cols, wide)]
            result[kept_rows, kept_cols] = inner
    return result


def _parts(edge: int, window_px: int, overlap_px: int) -> list[tuple[slice, slice]]:
    """Return each window along an edge, and the part of it that is kept."""
    size = min(edge, window_px)
    starts = window_starts(edge, size, overlap_px)
    middles = [(a + size + b) // 2 for a, b in pairwise(starts)]
    kept = map(slice, [0, *middles], [*middles, edge])
    return [(slice(a, a + size), keep) for a, keep in zip(starts, kept, strict=True)]


def _within(part: slice, window: slice) -> slice:
    return slice(part.start - window.start, part.stop - window.start)
