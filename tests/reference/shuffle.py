"""The in-place shuffle, patch by patch."""

import numpy as np
import numpy.typing as npt


def gather_patches(
    images: npt.NDArray[np.generic], sources: npt.NDArray[np.int64]
) -> npt.NDArray[np.generic]:
    """Copy each patch from the tile that ``sources`` names."""
    count, _, height, width = images.shape
    rows, cols = sources.shape[1:]
    tall, wide = height // rows, width // cols
    out = np.empty_like(images)
    for tile in range(count):
        for row in range(rows):
            for col in range(cols):
                y, x = row * tall, col * wide
                out[tile, :, y : y + tall, x : x + wide] = images[
                    sources[tile, row, col], :, y : y + tall, x : x + wide
                ]
    return out


def mix_labels(
    labels: npt.NDArray[np.float32], sources: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Count patches of each class; one patch of an unknown tile makes it unknown."""
    mixed = np.zeros(labels.shape, np.float32)
    for tile, taken in enumerate(sources):
        for column in range(labels.shape[1]):
            values = [labels[source, column] for source in taken.ravel()]
            unknown = any(value < 0 for value in values)
            mixed[tile, column] = -1 if unknown else np.mean(values)
    return mixed
