"""Maps of classes that share a foreground, among the classes that may be there."""

import numpy as np
import numpy.typing as npt


def give_to_possible(
    maps: npt.NDArray[np.floating], possible: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Return maps with what impossible classes have given to the others, in proportion.

    Parameters
    ----------
    maps
        (C, h, w) >= 0: probabilities that add up to that of the foreground.
    possible
        (C,): classes that may be there.

    Returns
    -------
    array
        (C, h, w) float32, 0 for impossible classes. The sum over classes stays, unless
        none is possible.
    """
    maps = np.asarray(maps, np.float32)
    allowed = possible.astype(np.float32)[:, None, None]
    kept = maps * allowed
    total, left = maps.sum(0), kept.sum(0)
    # Where nothing is left to be in proportion to, possible classes have equal parts.
    equal = allowed / max(1, int(possible.sum()))
    tiny = np.finfo(np.float32).tiny
    shares = np.where(left > tiny, kept / np.maximum(left, tiny), equal)
    return np.asarray(total * shares, np.float32)
