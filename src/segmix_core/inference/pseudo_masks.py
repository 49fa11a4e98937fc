"""From class activation maps and image-level labels to pseudo masks.

Arrays in, arrays out, no torch. A pseudo mask holds class indices: 0 background,
1..C classes in the order of the label columns, 255 where nobody should learn.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from segmix_core.inference.pseudo_rules import Normalization, PseudoMaskRules
from segmix_core.inference.small_regions import (
    fill_small_holes,
    ignore_small_objects,
)
from segmix_core.models.shared_maps import reassign_absent
from segmix_core.project.records import BACKGROUND, IGNORE_INDEX, LabelState
from segmix_core.slides.glass import glass_mask

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
MaskArray = npt.NDArray[np.uint8]


def make_pseudo_mask(
    cam: npt.NDArray[np.floating],
    shape: tuple[int, int],
    labels: npt.NDArray[np.integer],
    probabilities: npt.NDArray[np.floating],
    rgb: npt.NDArray[np.uint8] | None = None,
    *,
    rules: PseudoMaskRules | None = None,
    stride: float | None = None,
    shared_foreground: bool = False,
) -> tuple[MaskArray, float]:
    """Return the pseudo mask of a tile and how doubtful it is.

    Parameters
    ----------
    cam
        (C, h, w) >= 0, raw: absent classes are taken out here.
    shape
        (H, W) of the mask, working pixels.
    labels
        (C,) of -1 unknown, 0 absent, 1 present.
    probabilities
        (C,) in 0..1, the classifier's answer.
    rgb
        (H, W, 3); needed where :attr:`PseudoMaskRules.needs_rgb` says so.
    rules
        Default: :class:`PseudoMaskRules` as it comes.
    stride
        Working pixels per CAM pixel; None: the CAM covers exactly ``shape``.
    shared_foreground
        The maps add up to the foreground: what classes have of it that take no part is
        given to those that do.

    Returns
    -------
    mask
        (H, W) uint8.
    doubt
        0..1: see :func:`tile_doubt`.

    Raises
    ------
    ValueError
        If shapes disagree, or ``rgb`` is missing and needed.

    Notes
    -----
    A tile whose classes are all absent is background everywhere, without doubt. When
    one class alone takes part and there is no background score to beat, the tile is
    that class: the label says so, however weak the map is. Its doubt is 0 if the label
    is present, and 1 - probability if only the classifier says so.
    """
    rules = rules or PseudoMaskRules()
    _check_shapes(cam, shape, labels, probabilities, rgb)
    if rules.needs_rgb and rgb is None:
        raise ValueError(
            f"background={rules.background!r} needs the rgb pixels of the tile"
        )
    playing = classes_in_play(labels, probabilities, rules.gate)
    if not playing.any():
        return np.full(shape, BACKGROUND, np.uint8), 0.0
    if shared_foreground:
        cam = reassign_absent(cam, playing)
    values, scores = _scores(cam, shape, playing, rules, stride)
    mask, lead = decide(scores, values, rules.margin)
    if len(values) == 1:
        is_labeled = labels[playing][0] == LabelState.PRESENT
        lead[:] = 1.0 if is_labeled else float(probabilities[playing][0])
    if rules.background == "glass" and rgb is not None:
        glass = glass_mask(rgb)
        mask[glass], lead[glass] = BACKGROUND, 1.0
    # A ring and what it encloses are one object, so holes come first.
    mask = fill_small_holes(mask, rules.min_hole_px)
    mask = ignore_small_objects(mask, rules.min_object_px)
    return mask, tile_doubt(mask, lead)


def classes_in_play(
    labels: npt.NDArray[np.integer],
    probabilities: npt.NDArray[np.floating],
    gate: float | tuple[float, ...],
) -> BoolArray:
    """Return which classes (C,) may occur in the tile's mask.

    Present classes take part, absent ones never. Unknown ones take part from a
    probability of ``gate``, one for all or C; if then nobody does, the most probable
    unknown one.

    Raises
    ------
    ValueError
        If there are neither one nor C gates.
    """
    gates = np.broadcast_to(np.asarray(gate, probabilities.dtype), labels.shape)
    is_unknown = labels == LabelState.UNKNOWN
    playing = (labels == LabelState.PRESENT) | (is_unknown & (probabilities >= gates))
    if not playing.any() and is_unknown.any():
        playing[np.argmax(np.where(is_unknown, probabilities, -1.0))] = True
    return np.asarray(playing, np.bool_)


def normalize_cams(
    cam: npt.NDArray[np.floating], normalization: Normalization
) -> FloatArray:
    """Return CAMs (C, h, w) >= 0 scaled to 0..1; a map of zeros stays zero.

    The minimum is not subtracted: after the ReLU a CAM's zero means "no evidence", and
    a tile full of one class has no pixel of that kind.
    """
    cam = np.asarray(cam, np.float32)
    maximum = _NORMALIZATIONS[normalization](cam)
    # A class that nowhere answers must not be blown up to full strength.
    return np.asarray(cam / np.where(maximum > 1e-5, maximum, np.inf), np.float32)


def _maximum_of_each(cam: FloatArray) -> FloatArray:
    return np.asarray(cam.max(axis=(1, 2), keepdims=True))


def _maximum_of_all(cam: FloatArray) -> FloatArray:
    return np.asarray(cam.max(keepdims=True))


_NORMALIZATIONS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "class": _maximum_of_each,
    "joint": _maximum_of_all,
}


def _scores(
    cam: npt.NDArray[np.floating],
    shape: tuple[int, int],
    playing: BoolArray,
    rules: PseudoMaskRules,
    stride: float | None,
) -> tuple[MaskArray, FloatArray]:
    """Return the mask values that compete (n,) and their scores (n, H, W) in 0..1."""
    values = np.flatnonzero(playing).astype(np.uint8) + 1
    maps = normalize_cams(cam[playing], rules.normalization)
    scores = resize_maps(maps, shape, stride)
    if rules.background != "score":
        return values, scores
    background = np.full((1, *shape), rules.background_score, np.float32)
    with_background = np.insert(values, 0, BACKGROUND)
    return with_background, np.concatenate([background, scores])


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


def decide(
    scores: FloatArray, values: MaskArray, margin: float
) -> tuple[MaskArray, FloatArray]:
    """Return the winner of every pixel and its lead over the second.

    Parameters
    ----------
    scores
        (n, H, W) in 0..1; of equal scores the first wins.
    values
        (n,): mask value of each score.
    margin
        0..1: with a smaller lead the pixel becomes 255.

    Returns
    -------
    mask
        (H, W) uint8.
    lead
        (H, W) float32 in 0..1; with one competitor its lead is 1 everywhere.
    """
    mask = values[np.argmax(scores, axis=0)]
    if len(values) == 1:
        return mask, np.ones(mask.shape, np.float32)
    second, best = np.partition(scores, -2, axis=0)[-2:]
    lead = best - second
    mask[lead < margin] = IGNORE_INDEX
    return mask, lead


def tile_doubt(mask: MaskArray, lead: FloatArray) -> float:
    """Return how doubtful a mask is: 0 (clear everywhere) to 1 (nothing decided).

    The mean over pixels of 1 - lead, where an ignored pixel counts as lead 0: a tile
    is doubtful by undecided pixels as well as by narrowly decided ones.
    """
    doubt = np.where(mask == IGNORE_INDEX, 1.0, 1.0 - lead)
    return float(np.clip(doubt.mean(), 0.0, 1.0))


def _check_shapes(
    cam: npt.NDArray[np.floating],
    shape: tuple[int, int],
    labels: npt.NDArray[np.integer],
    probabilities: npt.NDArray[np.floating],
    rgb: npt.NDArray[np.uint8] | None,
) -> None:
    if cam.ndim != 3 or not (len(cam),) == labels.shape == probabilities.shape:
        raise ValueError(
            "Expected cam (C, h, w) with labels and probabilities (C,), got "
            f"{cam.shape}, {labels.shape}, {probabilities.shape}"
        )
    if rgb is not None and rgb.shape != (*shape, 3):
        raise ValueError(f"Expected rgb of shape {(*shape, 3)}, got {rgb.shape}")
