"""A segmenter over images of any size, in overlapping windows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from segmix_core.data.symmetries import symmetries_of, turn, turn_back
from segmix_core.geometry import Box
from segmix_core.inference.blending import ByteArray, FloatArray, RowBlender
from segmix_core.inference.windows import fading_weights, window_rows
from segmix_core.models.memory import PartsThatFit
from segmix_core.models.precision import Precision, inference_mode
from segmix_core.project.records import BACKGROUND, IGNORE_INDEX

ReadRegion = Callable[[Box], npt.NDArray[np.uint8]]
"""Returns the pixels (h, w, 3) uint8 RGB of a box in working pixels."""


class SegmentsImages(Protocol):
    """What is asked of a segmenter, which is an ``nn.Module`` as well."""

    @property
    def class_indices(self) -> Sequence[int]:
        """(K,): mask value of each channel."""

    @property
    def size_multiple(self) -> int:
        """Height and width of its images must be multiples of this."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return logits (B, K, H, W) of images (B, 3, H, W) in [0, 1]."""


class PredictedBand(NamedTuple):
    """Finished rows of an image, over its full width.

    Attributes
    ----------
    box
        Where, in working pixels.
    labels
        (h, w) uint8 class indices; without tissue 0, or 255 if the segmenter has no
        background.
    confidence
        (h, w) uint8: blended probability of the label, 255 = 1; 255 without tissue.
    """

    box: Box
    labels: ByteArray
    confidence: ByteArray


def predict_image(  # noqa: PLR0913 - every one is a choice of the caller
    segmenter: SegmentsImages,
    read: ReadRegion,
    shape: tuple[int, int],
    *,
    window_px: int,
    overlap_px: int,
    flips: bool = False,
    batch_size: int = 4,
    device: torch.device | str = "cpu",
    precision: Precision = "float32",
    skip: Callable[[Box], bool] | None = None,
) -> Iterator[PredictedBand]:
    """Yield the label map of an image in bands of rows, top to bottom.

    Windows overlap by at least ``overlap_px``; their probabilities are averaged with
    weights that fade towards the edges of a window. Windows lie inside the image,
    evenly spread; an image smaller than a window is one window of its own size. Sizes
    that the segmenter cannot take are continued by reflection and cut off again.

    In memory are, for K channels: probabilities of one batch of windows; of the rows
    that two rows of windows share, 2 x 4 (K + 1) bytes a pixel; labels and confidence
    of one band, 2 bytes a pixel. With W pixels of width and the usual small overlap
    that is far below two rows of windows, and it never exceeds them.

    Parameters
    ----------
    segmenter
        On ``device`` already; its mode (training or not) is restored.
    read
        Called once for each window that is not skipped. Whatever it raises ends the
        prediction, which is also how to stop within a band.
    shape
        (H, W) of the image in working pixels, each >= 1.
    window_px, overlap_px
        Working pixels, ``0 <= overlap_px < window_px``.
    flips
        Average over the eight symmetries of the square.
    batch_size
        Windows at a time, >= 1.
    device, precision
        Where the segmenter is, and the numbers it computes in.
    skip
        Says that a window has no tissue: it is not read and takes no part in blending.

    Yields
    ------
    PredictedBand
        Box, labels and confidence; together the bands cover the image once.

    Raises
    ------
    ValueError
        If sizes are out of range or ``read`` returns another shape than asked for.
    """
    _check(shape, window_px, overlap_px, batch_size)
    window_shape = (min(shape[0], window_px), min(shape[1], window_px))
    weights = fading_weights(window_shape, overlap_px)
    classes = tuple(segmenter.class_indices)
    empty = BACKGROUND if BACKGROUND in classes else IGNORE_INDEX
    blender = RowBlender(shape[1], classes, empty)
    parts = PartsThatFit()

    def ask(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return predict_probabilities(
            segmenter, images, flips=flips, device=device, precision=precision
        )

    for band, row in window_rows(shape, window_px, overlap_px):
        blender.start_row(window_shape[0], band.height)
        for start in range(0, len(row), batch_size):
            batch = row[start : start + batch_size]
            asked = [window for window in batch if not (skip and skip(window))]
            tissue = [_read_checked(read, window) for window in asked]
            found = parts.ask(ask, np.stack(tissue)) if tissue else []
            sums = dict(zip(asked, _weighted(found, weights), strict=True))
            for window in batch:
                blender.add(window, sums.get(window))
        yield PredictedBand(band, *blender.finish_row())


def _weighted(
    probabilities: Iterable[FloatArray], weights: FloatArray
) -> Iterator[FloatArray]:
    """Yield (K + 1, h, w) for each window: weighted probabilities, then the weight."""
    for window in chain.from_iterable(probabilities):
        yield np.concatenate([window * weights, weights[None]])


def predict_probabilities(
    segmenter: SegmentsImages,
    images: npt.NDArray[np.uint8],
    *,
    flips: bool = False,
    device: torch.device | str = "cpu",
    precision: Precision = "float32",
) -> npt.NDArray[np.float32]:
    """Return the class probabilities of images of one size.

    Parameters
    ----------
    segmenter
        On ``device``; its mode is restored.
    images
        (B, H, W, 3) uint8 RGB, of any size.
    flips
        Average over the eight symmetries of the square.
    device, precision
        Where the segmenter is, and the numbers it computes in.

    Returns
    -------
    ndarray
        (B, K, H, W) float32 in 0..1, summing to 1 over K.
    """
    height, width = images.shape[1:3]
    bottom, right = (-edge % segmenter.size_multiple for edge in (height, width))
    # NumPy reflects repeatedly where the image is smaller than its padding.
    padded = np.pad(images, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="reflect")
    views = symmetries_of(flips)
    # Any segmenter is a module; the protocol names only what it adds to one.
    with inference_mode(cast("nn.Module", segmenter), precision):
        pixels = torch.from_numpy(padded).to(device).permute(0, 3, 1, 2).float() / 255
        # A sum, not eight maps at once: memory is what predict_image says.
        total = torch.zeros((), device=device)
        for view in views:
            logits = segmenter(turn(pixels, view)).float()
            total = total + turn_back(logits.softmax(dim=1), view)
        mean = total[:, :, :height, :width] / len(views)
        return np.asarray(mean.cpu().numpy())


def _read_checked(read: ReadRegion, window: Box) -> npt.NDArray[np.uint8]:
    pixels = read(window)
    expected = (window.height, window.width, 3)
    if pixels.shape != expected or pixels.dtype != np.uint8:
        raise ValueError(
            f"Expected {expected} uint8 pixels of {window}, "
            f"got {pixels.shape} {pixels.dtype}"
        )
    return pixels


def _check(
    shape: tuple[int, int], window_px: int, overlap_px: int, batch_size: int
) -> None:
    if min(shape) < 1:
        raise ValueError(f"Expected an image of at least 1 x 1 pixels, got {shape}")
    if not 0 <= overlap_px < window_px:
        raise ValueError(
            f"Expected 0 <= overlap_px < window_px, got {overlap_px}, {window_px}"
        )
    if batch_size < 1:
        raise ValueError(f"Expected batch_size >= 1, got {batch_size}")
