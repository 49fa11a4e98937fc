"""Pseudo masks from arrays."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from segmix_core.data.arrays import as_labels, as_numpy, as_rgb
from segmix_core.errors import ConfigError, DataError
from segmix_core.inference.pseudo_masks import make_pseudo_mask
from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.project.records import LabelState


def pseudo_masks(  # noqa: PLR0913 - every one is a choice of the caller, by name
    cams: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    images: Any = None,
    probabilities: npt.ArrayLike | None = None,
    background: Literal["none", "score", "glass"] = "glass",
    background_score: float = 0.30,
    gate: float = 0.50,
    normalization: Literal["class", "joint"] = "joint",
    margin: float = 0.05,
    min_object_px: int = 64,
    min_hole_px: int = 0,
    shared_foreground: bool = False,
) -> npt.NDArray[np.uint8]:
    """Make pseudo masks from class activation maps (CAMs) and image-level labels.

    A class takes part where its label is present, or unknown with a probability of at
    least ``gate``; the strongest map wins each pixel. A class that is alone takes the
    whole image, unless it has to beat a background score.

    Parameters
    ----------
    cams
        (B, C, H, W) >= 0, array or tensor, as :meth:`TrainedClassifier.cams` returns.
    labels
        (B, C): 1 present, 0 absent, -1 unknown.
    images
        (B, 3, H, W) or (B, H, W, 3), uint8 or float in 0..1: where glass is to be
        found.
    probabilities
        (B, C) in 0..1; needed where labels are unknown.
    background
        "none": every pixel gets a class. "score": pixels of low CAM are background.
        "glass": white pixels are background, which needs ``images``.
    background_score
        0..1: CAM, relative to its maximum, below which "score" finds background.
    gate
        0..1: probability that a class of unknown label needs to take part.
    normalization
        "class": scale each map by its own maximum. "joint": all by their common one.
    margin
        0..1: pixels whose two best classes are closer are ignored (255).
    min_object_px
        Connected regions with fewer pixels are ignored (255).
    min_hole_px
        Smaller holes in a class become that class.
    shared_foreground
        The maps of an image add up to its foreground, see
        :attr:`TrainedClassifier.shared_foreground`: what absent classes have of it
        goes to the others. Not needed for maps that were made with the labels.

    Returns
    -------
    array
        (B, H, W) uint8: 0 background, 1..C classes in the order of the columns, 255
        ignore.

    Raises
    ------
    DataError
        If shapes or values do not fit, or images or probabilities are missing.
    ConfigError
        If an option is out of range.

    Notes
    -----
    Maps are scaled as in CAM (Zhou et al., CVPR 2016); the constant background score is
    the one of SEAM (Wang et al., CVPR 2020, section 4.1).

    Examples
    --------
    >>> cams = np.zeros((1, 2, 4, 4), np.float32)
    >>> cams[0, 0, :, :2], cams[0, 1, :, 3:] = 1.0, 0.8
    >>> sx.pseudo_masks(cams, [[1, 1]], background="score", min_object_px=0)[0]
    array([[1, 1, 0, 2],
           [1, 1, 0, 2],
           [1, 1, 0, 2],
           [1, 1, 0, 2]], dtype=uint8)

    The second class is absent:

    >>> sx.pseudo_masks(cams, [[1, 0]], background="score", min_object_px=0)[0, 0]
    array([1, 1, 0, 0], dtype=uint8)
    """
    maps = _as_maps(cams)
    count, num_classes, height, width = maps.shape
    states = as_labels(labels, count, num_classes)
    sure = _as_probabilities(probabilities, states)
    rgb = None if images is None else as_rgb(images)
    if rgb is not None and rgb.shape[:3] != (count, height, width):
        raise DataError(
            f"The CAMs are of {count} images of {height} x {width} pixels, but these "
            f"are {rgb.shape[0]} of {rgb.shape[1]} x {rgb.shape[2]}.",
            "Pass the images that the CAMs were made of.",
        )
    try:
        rules = PseudoMaskRules(
            background=background,
            background_score=background_score,
            gate=gate,
            normalization=normalization,
            margin=margin,
            min_object_px=min_object_px,
            min_hole_px=min_hole_px,
        )
    except ValueError as error:
        raise ConfigError(
            f"Pseudo masks cannot be made this way: {error}.",
            "Choose a value in the range that the documentation gives.",
        ) from error
    if rules.needs_rgb and rgb is None:
        raise DataError(
            f"background={background!r} needs the images.",
            "Pass images=..., or choose background='score' or 'none'.",
        )
    masks = np.empty((count, height, width), np.uint8)
    for index in range(count):
        masks[index], _ = make_pseudo_mask(
            maps[index],
            (height, width),
            states[index],
            sure[index],
            None if rgb is None else rgb[index],
            rules=rules,
            shared_foreground=shared_foreground,
        )
    return masks


def _as_maps(cams: Any) -> npt.NDArray[np.float32]:
    maps = as_numpy(cams)
    if maps.ndim != 4 or 0 in maps.shape or maps.dtype.kind not in "fiu":
        raise DataError(
            f"These are not CAMs: their shape is {maps.shape}.",
            "Pass an array (B, C, H, W) of numbers.",
        )
    maps = maps.astype(np.float32)
    if not (np.isfinite(maps) & (maps >= 0)).all():
        raise DataError(
            "A CAM has negative or infinite values.",
            "Pass maps after their ReLU, as TrainedClassifier.cams returns them.",
        )
    return maps


def _as_probabilities(
    probabilities: Any, labels: npt.NDArray[np.int8]
) -> npt.NDArray[np.float32]:
    if probabilities is None:
        if (labels == LabelState.UNKNOWN).any():
            raise DataError(
                "Some labels are unknown (-1), and no probabilities are given.",
                "Pass probabilities=model.probabilities(images).",
            )
        return np.zeros(labels.shape, np.float32)
    sure = as_numpy(probabilities)
    if sure.shape != labels.shape or not ((sure >= 0) & (sure <= 1)).all():
        raise DataError(
            f"Probabilities must be in 0..1 with the shape {labels.shape}.",
            "Pass probabilities=model.probabilities(images).",
        )
    return sure.astype(np.float32)
