"""The mouse over the tile grid: click, stroke, rectangle, hover."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_segmix.layers.tile_actions import TileActions
from napari_segmix.model.placement import Placement

if TYPE_CHECKING:
    from napari.layers import Labels

_CLICK_PX = 4
"""Canvas pixels the mouse may move between press and release of a click."""


class TileGrid(Protocol):
    """What the mouse moves over."""

    layer: "Labels"
    is_connected: bool

    @property
    def is_painting(self) -> bool:
        """Whether a painting tool is in hand."""

    def take_edits(self) -> None:
        """Apply what was painted."""

    def preview(self, area: tuple[slice, slice] | None) -> None:
        """Show the brush over an area, or the labels again."""


class TileMouse:
    """Turns mouse events of the tile layer into actions.

    Attributes
    ----------
    is_stroking
        Whether a painting tool is being dragged.
    """

    def __init__(
        self,
        owner: TileGrid,
        placement: Placement,
        index: npt.NDArray[np.int64],
        actions: TileActions,
    ) -> None:
        self.is_stroking = False
        self._owner = owner
        self._placement = placement
        self._index = index
        self._actions = actions

    def take_placement(
        self, placement: Placement, index: npt.NDArray[np.int64]
    ) -> None:
        """Take other tiles; ``index`` is the tile of each cell, -1 for none."""
        self._placement, self._index = placement, index

    def connect(self) -> None:
        """Listen to the layer."""
        self._owner.layer.mouse_drag_callbacks.append(self._on_drag)
        self._owner.layer.mouse_move_callbacks.append(self._on_move)

    def disconnect(self) -> None:
        """Listen no more."""
        layer = self._owner.layer
        if self._on_drag in layer.mouse_drag_callbacks:
            layer.mouse_drag_callbacks.remove(self._on_drag)
        if self._on_move in layer.mouse_move_callbacks:
            layer.mouse_move_callbacks.remove(self._on_move)

    def _on_move(self, _layer: object, event: Any) -> None:
        self._actions.hover(self._row_at(event.position))

    def _on_drag(self, _layer: object, event: Any) -> Iterator[None]:
        if event.button != 1:
            return
        if self._owner.is_painting:
            self.is_stroking = True
            yield from _until_release(event)
            self.is_stroking = False
            self._owner.take_edits()
        elif "Shift" in event.modifiers:
            yield from self._drag_rectangle(event)
        else:
            start, pressed = np.array(event.pos), tuple(event.position)
            yield from _until_release(event)
            distance = np.abs(np.array(event.pos) - start).max()
            if distance <= _CLICK_PX and self._owner.is_connected:
                self._actions.choose_tile(self._row_at(pressed))

    def _drag_rectangle(self, event: Any) -> Iterator[None]:
        """Apply the brush to the cells between press and release."""
        layer = self._owner.layer
        first = self._nearest_cell(event.position)
        was_panning, layer.mouse_pan = layer.mouse_pan, False
        try:
            yield
            while event.type == "mouse_move":
                area = _span(first, self._nearest_cell(event.position))
                self._owner.preview(area)
                yield
        finally:
            layer.mouse_pan = was_panning
            self._owner.preview(None)
        rows = self._index[_span(first, self._nearest_cell(event.position))]
        rows = rows[rows >= 0]
        if len(rows) and self._owner.is_connected:
            self._actions.paint(rows)

    def _row_at(self, position: Sequence[float]) -> int | None:
        cell = self._placement.cell_at(position[-2], position[-1])
        row = -1 if cell is None else int(self._index[cell])
        return row if row >= 0 else None

    def _nearest_cell(self, position: Sequence[float]) -> tuple[int, int]:
        place = self._placement
        cells = [
            int((position[axis] / place.pixel_size + 0.5) // place.pitch)
            for axis in (-2, -1)
        ]
        row, col = np.clip(cells, 0, np.array(place.grid_shape) - 1)
        return int(row), int(col)


def _span(a: tuple[int, int], b: tuple[int, int]) -> tuple[slice, slice]:
    rows, cols = sorted((a[0], b[0])), sorted((a[1], b[1]))
    return slice(rows[0], rows[1] + 1), slice(cols[0], cols[1] + 1)


def _until_release(event: Any) -> Iterator[None]:
    yield
    while event.type == "mouse_move":
        yield
