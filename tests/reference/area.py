"""Area averages, one output pixel at a time."""

import numpy as np


def shrink(pixels, rows, cols, shape):
    """Mean color under each of ``shape`` equal cells; every overlap is measured."""
    out = np.zeros((*shape, 3))
    height = (rows[1] - rows[0]) / shape[0]
    width = (cols[1] - cols[0]) / shape[1]
    for i, j in np.ndindex(*shape):
        top, left = rows[0] + i * height, cols[0] + j * width
        total = weight = 0.0
        for y, x in np.ndindex(*pixels.shape[:2]):
            down = min(top + height, y + 1) - max(top, y)
            across = min(left + width, x + 1) - max(left, x)
            if down > 0 and across > 0:
                total = total + down * across * pixels[y, x].astype(float)
                weight += down * across
        out[i, j] = total / weight
    return out
