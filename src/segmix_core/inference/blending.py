"""Probabilities of overlapping windows, blended as they arrive."""

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]


class RowBlender:
    """Blend a row of windows, from left to right, into finished pixels.

    Sums are kept for one window and for the rows that this row of windows shares with
    the next; all other pixels are decided at once and only their label and confidence
    are kept. Feed every window of a row once, then :meth:`finish_row`.

    Parameters
    ----------
    width
        Pixels of the image's rows.
    class_indices
        (K,): mask value of each channel.
    empty_value
        Mask value of pixels that no window with probabilities covers.
    """

    def __init__(
        self, width: int, class_indices: tuple[int, ...], empty_value: int
    ) -> None:
        self._width = width
        self._values = np.array(class_indices, np.uint8)
        self._empty_value = empty_value
        # Channel K holds the sum of the weights.
        self._above = self._zeros(0, width)
        self._below = self._zeros(0, width)
        self._open = self._zeros(0, 0)
        self._open_x = 0
        self._labels = np.zeros((0, width), np.uint8)
        self._confidence = np.zeros((0, width), np.uint8)

    def start_row(self, window_height: int, finished_height: int) -> None:
        """Begin a row of windows; its upper ``finished_height`` rows end with it."""
        self._above = self._below
        self._below = self._zeros(window_height - finished_height, self._width)
        self._open, self._open_x = self._zeros(window_height, 0), 0
        self._labels = np.empty((finished_height, self._width), np.uint8)
        self._confidence = np.empty((finished_height, self._width), np.uint8)

    def add(self, window: Box, sums: FloatArray | None) -> None:
        """Add a window; its ``x`` is not left of that of the window before.

        ``sums`` (K + 1, h, w): probabilities times weight, then the weight; None: the
        window says nothing.
        """
        self._close(window.x)
        self._extend(window.right)
        if sums is not None:
            self._open[:, :, : window.width] += sums

    def finish_row(self) -> tuple[ByteArray, ByteArray]:
        """Return labels and confidence (0..255) of the finished rows, full width."""
        self._close(self._width)
        return self._labels, self._confidence

    def _extend(self, right: int) -> None:
        """Open the columns up to ``right``, with what the row above has left there."""
        first = self._open_x + self._open.shape[2]
        fresh = self._zeros(self._open.shape[1], right - first)
        fresh[:, : self._above.shape[1]] = self._above[:, :, first:right]
        self._open = np.concatenate([self._open, fresh], axis=2)

    def _close(self, x: int) -> None:
        """Decide the open columns left of ``x``: no later window reaches them."""
        count = x - self._open_x
        columns, self._open = self._open[:, :, :count], self._open[:, :, count:]
        place = slice(self._open_x, x)
        finished = len(self._labels)
        self._decide(columns[:, :finished], place)
        self._below[:, :, place] = columns[:, finished:]
        self._open_x = x

    def _decide(self, sums: FloatArray, place: slice) -> None:
        weight = sums[-1]
        is_empty = weight == 0
        best = sums[:-1].argmax(axis=0)
        share = sums[:-1].max(axis=0) / np.where(is_empty, 1, weight)
        confidence = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
        self._labels[:, place] = np.where(
            is_empty, np.uint8(self._empty_value), self._values[best]
        )
        # Glass is no doubtful tissue.
        self._confidence[:, place] = np.where(is_empty, np.uint8(255), confidence)

    def _zeros(self, rows: int, cols: int) -> FloatArray:
        return np.zeros((len(self._values) + 1, rows, cols), np.float32)
