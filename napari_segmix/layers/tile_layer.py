"""Tile labels as a Labels layer with one pixel a tile.

The native tools paint codes into a small array. After each stroke the array is
compared with what was shown, and the difference is told to :class:`TileActions`: events
of napari differ by version and tool, the array does not.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_segmix.label_edits import PaintMode
from napari_segmix.layers.keys import tag
from napari_segmix.layers.placement import Placement
from napari_segmix.layers.tile_codes import BRUSH, UNLABELLED, Rgba, TileCodes, rgb
from segmix_core.project.records import TileTable, TissueClass

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

OPACITY = 0.45
TOOLS = {
    "pan": "pan_zoom",
    "brush": "paint",
    "fill": "fill",
    "polygon": "polygon",
    "pick": "pick",
}
_CLICK_PX = 4
"""Canvas pixels the mouse may move between press and release of a click."""


class TileActions(Protocol):
    """What the layer asks for; rows are (n,) rows of the tile table."""

    def paint(self, rows: npt.NDArray[np.int64]) -> None:
        """Apply the brush."""

    def clear(self, rows: npt.NDArray[np.int64]) -> None:
        """Forget all labels."""

    def set_exactly(
        self, rows: npt.NDArray[np.int64], present: tuple[int, ...]
    ) -> None:
        """Make these classes present and all others absent."""

    def press_digit(self, digit: int) -> None:
        """Take a class into the brush, or label the current tile."""

    def choose_class(self, class_index: int) -> None:
        """Take a class into the brush."""

    def choose_tile(self, row: int | None) -> None:
        """Make a tile the current one."""

    def hover(self, row: int | None) -> None:
        """Note the tile under the cursor."""

    def note_tool(self, tool: str) -> None:
        """Note the tool in hand, a key of :data:`TOOLS`; "" for another one."""

    def next_unlabelled(self) -> None:
        """Go to the next unlabelled tile."""

    def previous_unlabelled(self) -> None:
        """Go to the previous unlabelled tile."""

    def undo(self) -> None:
        """Take the last change back."""

    def redo(self) -> None:
        """Make it again."""


class TileLayer:
    """The label grid of a source in a viewer.

    Attributes
    ----------
    layer
        The napari layer.
    """

    def __init__(
        self,
        viewer: "Viewer",
        placement: Placement,
        actions: TileActions,
        source: int,
    ) -> None:
        self._placement = placement
        self._actions = actions
        self._index = placement.index_grid()
        self._codes = TileCodes(())
        self._shown = np.zeros(placement.grid_shape, np.uint16)
        self._colors: dict[int | None, Rgba] = {}
        self._brush_color: Rgba = (1.0, 1.0, 1.0, 1.0)
        self._is_quiet = False
        self._is_stroking = False
        self.layer: Labels = viewer.add_labels(
            self._shown.copy(),
            name="Tile labels",
            metadata=tag("tiles", source=source),
            opacity=OPACITY,
            **placement.transform(0, 0, placement.pitch),
        )
        self._connect()

    # ---- drawing ------------------------------------------------------------------

    def show(self, tiles: TileTable, classes: Sequence[TissueClass]) -> None:
        """Draw the labels as they are in the table."""
        if self._codes.classes != tuple(classes):
            self._codes = TileCodes(classes)
        codes = self._codes.encode(tiles.labels)
        shown = np.full(self._placement.grid_shape, UNLABELLED, np.uint16)
        cells = self._placement.cells
        shown[cells[:, 0], cells[:, 1]] = codes
        self._shown = shown
        self._write(shown)
        self._color()

    def _write(self, shown: npt.NDArray[np.uint16]) -> None:
        self._is_quiet = True
        try:
            self.layer.data[...] = shown
            self.layer.refresh()
        finally:
            self._is_quiet = False

    def _color(self) -> None:
        from napari.utils.colormaps import DirectLabelColormap

        colors = {**self._codes.colors(), BRUSH: self._brush_color}
        if colors == self._colors:
            return
        self._colors = colors
        self.layer.colormap = DirectLabelColormap(color_dict=colors)
        names = self._codes.names()
        self.layer.features = {
            "index": list(names),
            "tile": list(names.values()),
        }

    def show_brush(self, tissue_class: TissueClass | None, mode: PaintMode) -> None:
        """Give the brush the colour of what it does."""
        if tissue_class is None or mode in (PaintMode.REMOVE, PaintMode.CLEAR):
            self._brush_color = (1.0, 1.0, 1.0, 0.6)
        else:
            self._brush_color = (*rgb(tissue_class.color), 1.0)
        self._color()
        self._take_brush()

    def _take_brush(self) -> None:
        self._is_quiet = True
        try:
            self.layer.selected_label = BRUSH
        finally:
            self._is_quiet = False

    @property
    def is_painting(self) -> bool:
        """Whether a painting tool is in hand."""
        return str(self.layer.mode) in ("paint", "fill", "polygon", "erase")

    def choose_tool(self, tool: str) -> None:
        """Take a tool, a key of :data:`TOOLS`."""
        self.layer.mode = TOOLS[tool]

    # ---- listening ----------------------------------------------------------------

    def _connect(self) -> None:
        layer = self.layer
        layer.brush_size = 1
        self._take_brush()
        for event, slot in self._slots().items():
            getattr(layer.events, event).connect(slot)
        layer.mouse_drag_callbacks.append(self._on_drag)
        layer.mouse_move_callbacks.append(self._on_move)
        actions = self._actions
        for digit in range(10):
            _bind(layer, str(digit), actions, "press_digit", digit)
        _bind(layer, "n", actions, "next_unlabelled")
        _bind(layer, "Shift-N", actions, "previous_unlabelled")
        _bind(layer, "Control-Z", actions, "undo")
        _bind(layer, "Control-Shift-Z", actions, "redo")

    def _slots(self) -> dict[str, Callable[..., None]]:
        # A polygon tells "paint" before and "labels_update" after its pixels change,
        # a brush the other way round; undo tells "set_data" only.
        return {
            "paint": self._on_data,
            "labels_update": self._on_data,
            "set_data": self._on_data,
            "selected_label": self._on_selected,
            "mode": self._on_mode,
        }

    def disconnect(self) -> None:
        """Stop listening to the layer, which may live on in the viewer."""
        layer = self.layer
        for event, slot in self._slots().items():
            getattr(layer.events, event).disconnect(slot)
        if self._on_drag in layer.mouse_drag_callbacks:
            layer.mouse_drag_callbacks.remove(self._on_drag)
        if self._on_move in layer.mouse_move_callbacks:
            layer.mouse_move_callbacks.remove(self._on_move)

    def _on_data(self, _event: object = None) -> None:
        # While the mouse is down the stroke goes on; one stroke is one journal entry.
        if not self._is_stroking:
            self.take_edits()

    def take_edits(self) -> None:
        """Tell the actions what differs from what was shown; refused cells revert."""
        if self._is_quiet:
            return
        data = np.asarray(self.layer.data)
        changed = data != self._shown
        if not changed.any():
            return
        values, rows = data[changed], self._index[changed]
        # Whatever the actions make of it, they draw the table again; cells without a
        # tile and values that mean nothing are drawn as before at once.
        self._write(self._shown)
        for value in np.unique(values[rows >= 0]):
            self._apply(int(value), rows[(values == value) & (rows >= 0)])

    def _apply(self, value: int, rows: npt.NDArray[np.int64]) -> None:
        present = self._codes.decode(value)
        if value == BRUSH:
            self._actions.paint(rows)
        elif value == UNLABELLED:
            self._actions.clear(rows)
        elif present is not None:
            self._actions.set_exactly(rows, present)

    def _on_selected(self, _event: object = None) -> None:
        """Turn a class picked in napari's own controls into the brush's class."""
        if self._is_quiet:
            return
        present = self._codes.decode(int(self.layer.selected_label))
        if present is not None and len(present) == 1:
            self._actions.choose_class(present[0])

    def _on_mode(self, _event: object = None) -> None:
        mode = str(self.layer.mode)
        self._actions.note_tool(next((t for t, m in TOOLS.items() if m == mode), ""))

    # ---- the mouse ----------------------------------------------------------------

    def _row_at(self, position: Sequence[float]) -> int | None:
        cell = self._placement.cell_at(position[-2], position[-1])
        row = -1 if cell is None else int(self._index[cell])
        return row if row >= 0 else None

    def _on_move(self, _layer: object, event: Any) -> None:
        self._actions.hover(self._row_at(event.position))

    def _on_drag(self, layer: "Labels", event: Any) -> Iterator[None]:
        if event.button != 1:
            return
        if self.is_painting:
            self._is_stroking = True
            yield from _until_release(event)
            self._is_stroking = False
            self.take_edits()
        elif "Shift" in event.modifiers:
            yield from self._drag_rectangle(layer, event)
        else:
            start, pressed = np.array(event.pos), tuple(event.position)
            yield from _until_release(event)
            if np.abs(np.array(event.pos) - start).max() <= _CLICK_PX:
                self._actions.choose_tile(self._row_at(pressed))

    def _drag_rectangle(self, layer: "Labels", event: Any) -> Iterator[None]:
        """Apply the brush to the cells between press and release."""
        first = self._nearest_cell(event.position)
        yield
        was_panning, layer.mouse_pan = layer.mouse_pan, False
        try:
            while event.type == "mouse_move":
                area = _span(first, self._nearest_cell(event.position))
                preview = self._shown.copy()
                preview[area] = np.where(self._index[area] >= 0, BRUSH, preview[area])
                self._write(preview)
                yield
        finally:
            layer.mouse_pan = was_panning
            self._write(self._shown)
        rows = self._index[_span(first, self._nearest_cell(event.position))]
        rows = rows[rows >= 0]
        if len(rows):
            self._actions.paint(rows)

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


def _bind(
    layer: "Labels", key: str, actions: TileActions, verb: str, *args: object
) -> None:
    """Bind a key of this layer alone; it goes before napari's own keys."""

    def press(_layer: object) -> None:
        getattr(actions, verb)(*args)

    layer.bind_key(key, press, overwrite=True)
