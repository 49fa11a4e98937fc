"""Slow, obvious stitching: the whole image in memory, one window after the other."""

import math

import numpy as np


def starts(length, window, overlap):
    if length <= window:
        return [0]
    count = math.ceil((length - overlap) / (window - overlap))
    return [math.floor(i * (length - window) / (count - 1)) for i in range(count)]


def weight(position, length, overlap):
    """Return the sine-squared ramp at a pixel of a window's edge of some length."""
    distance = min(position, length - 1 - position) + 0.5
    return (
        1.0 if distance >= overlap else math.sin(math.pi / 2 * distance / overlap) ** 2
    )


def stitch(probabilities_of, image, window_px, overlap_px, skip=None):
    """Return blended probabilities (K, H, W), NaN where nothing was predicted.

    ``probabilities_of`` takes (h, w, 3) and returns (K, h, w).
    """
    height, width = image.shape[:2]
    window_h, window_w = min(height, window_px), min(width, window_px)
    total, weights = 0.0, np.zeros((height, width))
    for y in starts(height, window_px, overlap_px):
        for x in starts(width, window_px, overlap_px):
            if skip is not None and skip(y, x):
                continue
            part = (slice(y, y + window_h), slice(x, x + window_w))
            result = probabilities_of(image[part])
            fade = np.array(
                [
                    [
                        weight(i, window_h, overlap_px)
                        * weight(j, window_w, overlap_px)
                        for j in range(window_w)
                    ]
                    for i in range(window_h)
                ]
            )
            whole = np.zeros((len(result), height, width))
            whole[(slice(None), *part)] = result * fade
            total = total + whole
            weights[part] += fade
    with np.errstate(invalid="ignore"):
        return total / weights
