"""Strokes in a Labels layer of a mask: what each one changed, reported when it ends.

napari's events differ by tool and version, and undo has none of its own; so after every
change the pixels are compared with what was there before.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box

if TYPE_CHECKING:
    from napari.layers import Labels

Bytes = npt.NDArray[np.uint8]
OnStroke = Callable[[Box, npt.NDArray[np.bool_], Bytes], None]
"""Takes the box of a stroke, which pixels of it changed, and their new values."""
_EVENTS = ("paint", "labels_update", "set_data")
"""A polygon emits "paint" before its pixels change, and "labels_update" after."""


class Strokes:
    """Watches the pixels of a layer; one stroke is one report.

    Parameters
    ----------
    layer
        (h, w) uint8, as stored.
    on_stroke
        Called when a stroke has ended, with its box in pixels of the layer.
    meaning
        Turns the layer's values into those that are stored; None: they are the same.
    """

    def __init__(
        self,
        layer: "Labels",
        on_stroke: OnStroke,
        meaning: Callable[[Bytes], Bytes] | None = None,
    ) -> None:
        self._layer = layer
        self._on_stroke = on_stroke
        self._meaning = meaning
        self._known: Bytes = self.values.copy()
        self._is_quiet = self._is_stroking = False
        for event in _EVENTS:
            getattr(layer.events, event).connect(self._on_data)
        # First, to know that the mouse is down before napari paints.
        layer.mouse_drag_callbacks.insert(0, self._on_drag)

    @property
    def values(self) -> Bytes:
        """(h, w) uint8: what is painted now."""
        data = np.asarray(self._layer.data)
        return data if self._meaning is None else self._meaning(data)

    def show(self, box: Box, values: Bytes) -> None:
        """Show what is stored in a box, without a report.

        Pixels that are being painted and were not reported yet stay as they are.
        """
        part = box.slices
        with self._quiet():
            painted = self.values[part] != self._known[part]
            self._known[part] = values
            data = self._layer.data
            data[part] = np.where(painted, data[part], values)
            self._layer.refresh()

    def take_edits(self) -> None:
        """Report the pixels that were painted since the last report."""
        if self._is_quiet:
            return
        values = self.values
        if values.shape != self._known.shape:
            return
        changed = values != self._known
        if not changed.any():
            return
        box = _bounds(changed)
        new = values[box.slices].copy()
        self._known[box.slices] = new
        self._on_stroke(box, changed[box.slices], new)

    def stop(self) -> None:
        """Listen to the layer no more."""
        for event in _EVENTS:
            getattr(self._layer.events, event).disconnect(self._on_data)
        if self._on_drag in self._layer.mouse_drag_callbacks:
            self._layer.mouse_drag_callbacks.remove(self._on_drag)

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        self._is_quiet = True
        try:
            yield
        finally:
            self._is_quiet = False

    def _on_drag(self, _layer: object, event: Any) -> Iterator[None]:
        self._is_stroking = True
        yield
        while event.type == "mouse_move":
            yield
        self._is_stroking = False
        self.take_edits()

    def _on_data(self, _event: object = None) -> None:
        # One stroke is one journal entry, so wait until the mouse is released.
        if not self._is_stroking:
            self.take_edits()


def _bounds(changed: npt.NDArray[np.bool_]) -> Box:
    rows, cols = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(cols[0])
    return Box(top, left, int(rows[-1]) - top + 1, int(cols[-1]) - left + 1)
