"""Simulate the labels a person would give to tiles, from the exact mask."""

import numpy as np
import numpy.typing as npt

_ABSENT_BELOW = 0.02


def tile_labels(
    mask: npt.NDArray[np.uint8],
    boxes: npt.NDArray[np.int64],
    num_classes: int,
    min_share: float = 0.10,
) -> npt.NDArray[np.int8]:
    """Return which classes a tile shows.

    Parameters
    ----------
    mask
        (H, W), 0 background, 1..num_classes; other values are ignored.
    boxes
        (n, 4): y, x, height, width in pixels of the mask; may extend past it.
    num_classes
        C.
    min_share
        Share of a tile from which a class counts as present, more than 0.02.

    Returns
    -------
    ndarray
        (n, C) int8: 1 present, 0 absent (below 0.02 of the tile), -1 unknown between,
        where a person may overlook the class.

    Raises
    ------
    ValueError
        If ``min_share`` is not above 0.02 and at most 1, or a box is empty.

    Examples
    --------
    >>> tile_labels(np.full((4, 4), 2, np.uint8), np.array([[0, 0, 4, 4]]), 2).tolist()
    [[0, 1]]
    """
    if not _ABSENT_BELOW < min_share <= 1:
        raise ValueError(f"min_share must be in ({_ABSENT_BELOW}, 1], not {min_share}")
    if len(boxes) and boxes[:, 2:].min() < 1:
        raise ValueError("Boxes must have a height and width of at least 1")
    labels = np.full((len(boxes), num_classes), -1, np.int8)
    for row, (y, x, height, width) in enumerate(boxes.tolist()):
        tile = mask[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
        counts = np.bincount(tile.ravel(), minlength=256)[1 : num_classes + 1]
        shares = counts / (height * width)
        labels[row, shares >= min_share] = 1
        labels[row, shares < _ABSENT_BELOW] = 0
    return labels
