"""The shuffle, patch by patch."""

import numpy as np
import numpy.typing as npt


def gather_patches(
    images: npt.NDArray[np.generic],
    sources: npt.NDArray[np.int64],
    positions: npt.NDArray[np.int64],
) -> npt.NDArray[np.generic]:
    """Copy each patch from the tile and the position that are named."""
    height, width = images.shape[2:]
    rows, cols = sources.shape[1:]
    tall, wide = height // rows, width // cols
    out = images.copy()
    for tile, row, col in np.ndindex(sources.shape):
        from_row, from_col = divmod(int(positions[tile, row, col]), cols)
        for y in range(tall):
            for x in range(wide):
                out[tile, :, row * tall + y, col * wide + x] = images[
                    sources[tile, row, col],
                    :,
                    from_row * tall + y,
                    from_col * wide + x,
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


def keep_certain(
    mixed: npt.NDArray[np.float32],
    labels: npt.NDArray[np.float32],
    sources: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """Forget shares of tiles in which some source has two classes, but for 0 and 1."""
    kept = mixed.copy()
    for tile, taken in enumerate(sources):
        several = any((labels[source] > 0).sum() > 1 for source in taken.ravel())
        for column, share in enumerate(mixed[tile]):
            if several and share not in (0, 1):
                kept[tile, column] = -1
    return kept


def tell_presence(
    labels: npt.NDArray[np.float32],
    sources: npt.NDArray[np.int64],
    least_share: float,
) -> npt.NDArray[np.float32]:
    """Go through the patches: 1 is sure to be there, 0 is sure not to be, -1 open."""
    told = np.full(labels.shape, -1, np.float32)
    for tile, taken in enumerate(sources):
        for column in range(labels.shape[1]):
            alone = [0] * labels.shape[1]
            alone[column] = 1
            patches = [list(labels[source]) for source in taken.ravel()]
            sure = sum(patch == alone for patch in patches)
            if all(patch[column] == 0 for patch in patches):
                told[tile, column] = 0
            elif (sure and sure >= round(least_share * len(patches), 6)) or all(
                patch[column] == 1 for patch in patches
            ):
                told[tile, column] = 1
    return told
