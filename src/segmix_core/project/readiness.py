"""Check before a run whether the labels of a project can train a classifier."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from segmix_core.errors import ProjectError
from segmix_core.project.records import (
    TRAIN_SPLIT,
    ImageRecord,
    LabelState,
    TileTable,
    TissueClass,
)

if TYPE_CHECKING:
    from segmix_core.project.store import ProjectStore


def check_trainable(store: "ProjectStore") -> None:
    """Check that the labeled tiles of the split "train" can train a classifier.

    Raises
    ------
    ProjectError
        If something is missing: images, labels, a tile with each class, or, in a
        project of one class, a tile without it.
    """
    check_tables(store.classes(), [store.tiles()], store.images())


def check_tables(
    classes: Sequence[TissueClass],
    tables: Sequence[TileTable],
    images: Sequence[ImageRecord],
) -> None:
    """Check that tiles already in memory can train a classifier.

    Parameters
    ----------
    classes
        The classes of the project, by index.
    tables
        All tiles of the project.
    images
        All images of the project, with their splits.

    Raises
    ------
    ProjectError
        As :func:`check_trainable`.
    """
    if not any(len(table) for table in tables):
        raise ProjectError(
            "The project has no images.", "Add a slide or a folder of tiles."
        )
    training = np.array([i.id for i in images if i.split == TRAIN_SPLIT], np.int64)
    check_labels(
        classes,
        np.concatenate([table.labels for table in tables]),
        np.concatenate([np.isin(table.image_ids, training) for table in tables]),
    )


def check_labels(
    classes: Sequence[TissueClass],
    labels: npt.NDArray[np.int8],
    training: npt.NDArray[np.bool_],
) -> None:
    """Check that label arrays can train a classifier.

    Parameters
    ----------
    classes
        The C classes of the project, by index.
    labels
        (N, C) of :class:`LabelState`.
    training
        (N,) True where the tile belongs to the split "train".

    Raises
    ------
    ProjectError
        As :func:`check_trainable`.
    """
    if not classes:
        raise ProjectError("The project has no classes.", "Add at least one class.")
    labeled = (labels != LabelState.UNKNOWN).any(axis=1)
    if not labeled.any():
        raise ProjectError(
            "No tile has a label.", "Label some tiles of every class first."
        )
    used = labels[labeled & training]
    if len(used) == 0:
        raise ProjectError(
            f"None of the {int(labeled.sum())} labeled tiles is in the split train.",
            "Label tiles of training images, or import labels with a column split.",
        )
    _check_every_class_present(classes, used)
    if len(classes) == 1 and not (used == LabelState.ABSENT).any():
        raise ProjectError(
            f"The only class, '{classes[0].name}', is present in every labeled tile.",
            "Add a second class and label it, or mark tiles where it is absent.",
        )


def find_doubts(store: "ProjectStore") -> tuple[str, ...]:
    """Return warnings about labels that can train but carry little information."""
    tiles = store.tiles()
    training = [i.id for i in store.images() if i.split == TRAIN_SPLIT]
    labels = tiles.labels[np.isin(tiles.image_ids, training)]
    labels = labels[(labels != LabelState.UNKNOWN).any(axis=1)]
    if not all_present(labels):
        return ()
    return (
        "Every class is present in every labeled tile of the split train, so the "
        "classes cannot be told apart. Label tiles in which a class is absent.",
    )


def all_present(labels: npt.NDArray[np.int8]) -> bool:
    """Return whether all tiles have all classes; False for fewer than two tiles."""
    return len(labels) > 1 and bool((labels == LabelState.PRESENT).all())


def _check_every_class_present(
    classes: Sequence[TissueClass], used: npt.NDArray[np.int8]
) -> None:
    present = (used == LabelState.PRESENT).any(axis=0)
    missing = [c.name for c, found in zip(classes, present, strict=True) if not found]
    if not missing:
        return
    names = ", ".join(f"'{name}'" for name in missing)
    raise ProjectError(
        f"No training tile is labeled {names}.",
        f"Label at least one training tile of {names}.",
    )
