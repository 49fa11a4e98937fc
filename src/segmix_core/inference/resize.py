"""Maps on a coarse grid, seen on the pixels they stand for."""

import numpy as np
import numpy.typing as npt


def resize_maps(
    maps: npt.NDArray[np.floating],
    shape: tuple[int, int],
    stride: float | None = None,
) -> npt.NDArray[np.float32]:
    """Return maps (C, h, w) on a grid of ``shape``, bilinearly.

    Cell i covers the pixels from i * stride to (i + 1) * stride, and its value sits in
    the middle (``align_corners=False`` elsewhere). Beyond the outer middles the outer
    value goes on.

    Parameters
    ----------
    maps
        (C, h, w).
    shape
        (H, W) of the result.
    stride
        Pixels per cell; cells beyond ``shape`` are padding and only fade into the
        border. None: the cells cover ``shape`` exactly.

    Returns
    -------
    ndarray
        (C, H, W) float32.
    """
    result = np.asarray(maps, np.float32)
    for axis, size in zip((1, 2), shape, strict=True):
        cells = result.shape[axis]
        step = size / cells if stride is None else stride
        position = np.clip((np.arange(size) + 0.5) / step - 0.5, 0, cells - 1)
        lower = position.astype(np.intp)
        upper = np.minimum(lower + 1, cells - 1)
        share = (position - lower).astype(np.float32)
        share = share.reshape((-1, 1) if axis == 1 else (1, -1))
        result = (
            result.take(lower, axis) * (1 - share) + result.take(upper, axis) * share
        )
    return result
