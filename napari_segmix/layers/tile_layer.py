"""Tile labels as a Labels layer with one pixel a tile.

The native tools paint codes into a small array. After each stroke the array is
compared with what was shown, and the difference is told to :class:`TileActions`: events
of napari differ by version and tool, the array does not.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_segmix.layers.own_layers import bind_keys, tag
from napari_segmix.layers.tile_actions import TOOLS, TileActions
from napari_segmix.layers.tile_codes import BRUSH, UNLABELED, Rgba, TileCodes
from napari_segmix.layers.tile_mouse import TileMouse
from napari_segmix.model.label_edits import PaintMode
from napari_segmix.model.placement import Placement
from segmix_core.project.records import TileTable, TissueClass

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

OPACITY = 0.45


class TileLayer:
    """The label grid of a source in a viewer.

    Attributes
    ----------
    layer
        The napari layer.
    is_connected
        Whether its rows are those of the session's tiles; not after
        :meth:`disconnect`, when a stroke in progress comes to nothing.
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
        self._labels: npt.NDArray[np.int8] | None = None
        self._colors: dict[int | None, Rgba] = {}
        self._brush = BRUSH
        self._is_quiet = False
        self.is_connected = True
        self.layer: Labels = viewer.add_labels(
            self._shown.copy(),
            name="Tile labels",
            metadata=tag("tiles", source=source),
            opacity=OPACITY,
            **placement.transform(0, 0, placement.pitch),
        )
        self._mouse = TileMouse(self, placement, self._index, actions)
        self._connect()

    def take_placement(self, placement: Placement) -> None:
        """Take other tiles of a grid of the same shape."""
        self._placement = placement
        self._index = placement.index_grid()
        self._labels = None
        self._mouse.take_placement(placement, self._index)

    # ---- drawing ------------------------------------------------------------------

    def show(self, tiles: TileTable, classes: Sequence[TissueClass]) -> None:
        """Draw the labels as they are in the table, under a stroke in progress."""
        if self._codes.classes != tuple(classes):
            self._codes, self._labels = TileCodes(classes), None
        rows = self._changed_rows(tiles.labels)
        self._labels = tiles.labels
        shown = self._shown.copy()
        if len(rows) == len(tiles):
            # Cells may have lost their tile.
            shown[:] = UNLABELED
        row_cells, col_cells = self._placement.cells[rows].T
        shown[row_cells, col_cells] = self._codes.encode(tiles.labels[rows])
        data = np.asarray(self.layer.data)
        painted = (data != self._shown) & self.is_stroking
        self._shown = shown
        self._write(np.where(painted, data, shown))
        self._color()

    def _changed_rows(self, labels: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
        """Return the rows whose labels are not drawn as they are."""
        if self._labels is None or self._labels.shape != labels.shape:
            return np.arange(len(labels))
        return np.flatnonzero((self._labels != labels).any(axis=1))

    def _write(self, shown: npt.NDArray[np.uint16]) -> None:
        self._is_quiet = True
        try:
            self.layer.data[...] = shown
            # The grid stays where it is.
            self.layer.refresh(extent=False, highlight=False)
        finally:
            self._is_quiet = False

    def _color(self) -> None:
        from napari.utils.colormaps import DirectLabelColormap

        colors = self._codes.colors()
        if colors == self._colors:
            return
        self._colors = colors
        self.layer.colormap = DirectLabelColormap(color_dict=colors)
        names = self._codes.names()
        self.layer.features = {
            "index": list(names),
            "tile": list(names.values()),
        }

    def preview(self, area: tuple[slice, slice] | None) -> None:
        """Show the brush over the tiles of an area; None shows the labels again."""
        shown = self._shown.copy()
        if area is not None:
            shown[area] = np.where(self._index[area] >= 0, self._brush, shown[area])
        self._write(shown)

    def show_brush(self, tissue_class: TissueClass | None, mode: PaintMode) -> None:
        """Give the brush the color of what it does."""
        is_plain = tissue_class is None or mode in (PaintMode.REMOVE, PaintMode.CLEAR)
        index = 0 if tissue_class is None or is_plain else tissue_class.index
        self._brush = BRUSH + index
        self._take_brush()

    def _take_brush(self) -> None:
        self._is_quiet = True
        try:
            self.layer.selected_label = self._brush
        finally:
            self._is_quiet = False

    @property
    def is_painting(self) -> bool:
        """Whether a painting tool is in hand."""
        return str(self.layer.mode) in ("paint", "fill", "polygon", "erase")

    @property
    def is_stroking(self) -> bool:
        """Whether a painting tool is being dragged."""
        return self._mouse.is_stroking

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
        self._mouse.connect()
        actions = self._actions
        keys: dict[str, Callable[[], object]] = {
            str(digit): partial(actions.press_digit, digit) for digit in range(10)
        }
        keys |= {
            "n": actions.next_unlabeled,
            "Shift-N": actions.previous_unlabeled,
            "Control-Z": actions.undo,
            "Control-Shift-Z": actions.redo,
        }
        bind_keys(layer, keys)

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
        self.is_connected = False
        for event, slot in self._slots().items():
            getattr(layer.events, event).disconnect(slot)
        self._mouse.disconnect()

    def _on_data(self, _event: object = None) -> None:
        # While the mouse is down the stroke goes on; one stroke is one journal entry.
        if not self.is_stroking:
            self.take_edits()

    def take_edits(self) -> None:
        """Tell the actions what differs from what was shown; refused cells revert."""
        if self._is_quiet or not self.is_connected:
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
        if value >= BRUSH:
            self._actions.paint(rows)
        elif value == UNLABELED:
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
