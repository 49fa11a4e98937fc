"""Maps of classes that share a foreground."""

import numpy as np
import numpy.typing as npt


def reassign_absent(
    maps: npt.NDArray[np.floating], possible: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Distribute the share of absent classes over the other classes in proportion.

    Parameters
    ----------
    maps
        (C, h, w) >= 0: probabilities that add up to that of the foreground.
    possible
        (C,) bool: False for classes known to be absent.

    Returns
    -------
    array
        (C, h, w) float32, 0 for absent classes. The sum over classes does not change,
        unless all are absent.
    """
    maps = np.asarray(maps, np.float32)
    allowed = possible.astype(np.float32)[:, None, None]
    kept = maps * allowed
    total, left = maps.sum(0), kept.sum(0)
    # Equal parts where the remaining classes are all 0.
    equal = allowed / max(1, int(possible.sum()))
    tiny = np.finfo(np.float32).tiny
    shares = np.where(left > tiny, kept / np.maximum(left, tiny), equal)
    return np.asarray(total * shares, np.float32)
