"""The pixel correlation module, pixel by pixel."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def spread(seed: Array, tokens: Array) -> Array:
    """Average seed (C, N) over pixels by the positive cosine of tokens (D, N)."""
    channels, count = seed.shape
    out = np.zeros((channels, count))
    for target in range(count):
        weights = []
        for source in range(count):
            a, b = tokens[:, source], tokens[:, target]
            length = (np.linalg.norm(a) + 1e-5) * (np.linalg.norm(b) + 1e-5)
            weights.append(max(0.0, float(a @ b) / length))
        total = sum(weights) + 1e-5
        for channel in range(channels):
            weighted = sum(w * s for w, s in zip(weights, seed[channel], strict=True))
            out[channel, target] = weighted / total
    return out
