"""Labelling: the brush, the current tile, and what an edit means."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_segmix.label_edits import (
    PaintMode,
    States,
    edited,
    exactly,
    next_unlabelled,
)
from segmix_core.errors import SegmixError
from segmix_core.project.records import KEEP, LabelState, TissueClass

if TYPE_CHECKING:
    from napari_segmix.session import Session


class Labelling:
    """Edits the labels of the session's active source.

    Attributes
    ----------
    active_class
        Index 1..C of the class in the brush; 0 after that class was taken back.
    paint_mode
        What a brush stroke says.
    tool
        "pan", "brush", "fill", "polygon", "pick", or "" for another of napari's.
    current_tile
        Row in ``session.tiles`` of the tile the page shows, or None.
    hovered_tile
        Row of the tile under the cursor, or None.
    """

    brush_changed = Signal()
    tool_changed = Signal()
    tile_changed = Signal()
    hover_changed = Signal()

    def __init__(self, session: "Session") -> None:
        self._session = session
        self.active_class = 1
        self.paint_mode = PaintMode.ONLY
        self.tool = "pan"
        self.current_tile: int | None = None
        self.hovered_tile: int | None = None
        self._held: TissueClass | None = None
        session.project_changed.connect(self._on_project)
        session.classes_changed.connect(self._on_classes)

    @property
    def tissue_class(self) -> TissueClass | None:
        """The class in the brush; None without one."""
        classes = self._session.classes
        return next((c for c in classes if c.index == self.active_class), None)

    def choose_class(self, class_index: int) -> None:
        """Take a class, 1..C, into the brush; other numbers do nothing."""
        if 1 <= class_index <= len(self._session.classes):
            self.active_class = class_index
            self._held = self.tissue_class
            self.show_brush()

    def _on_project(self) -> None:
        self.active_class, self._held = 1, None

    def _on_classes(self) -> None:
        now, held = self.tissue_class, self._held
        if held is not None and (now is None or now.since != held.since):
            # Another class in the brush would label tiles with what nobody chose.
            self.active_class = 0
            self._session.say(
                f"Class {held.name} was removed. Choose another class for the brush.",
                "warning",
            )
        self._held = self.tissue_class

    def choose_mode(self, mode: PaintMode) -> None:
        """Choose what a brush stroke says."""
        self.paint_mode = mode
        self.show_brush()

    def note_tool(self, tool: str) -> None:
        """Note that another tool is in hand."""
        self.tool = tool
        self.tool_changed.emit()

    def choose_tool(self, tool: str) -> None:
        """Take a tool of the tile layer: "pan", "brush", "fill", "polygon", "pick"."""
        if self._session.view is not None:
            self._session.view.choose_tool(tool)

    def show_brush(self) -> None:
        """Draw the brush in the colour of what it does, and tell the pages."""
        if self._session.view is not None:
            self._session.view.show_brush(self.tissue_class, self.paint_mode)
        self.brush_changed.emit()

    def set_labels(self, rows: npt.NDArray[np.int64], states: States) -> None:
        """Label tiles of the active source.

        Parameters
        ----------
        rows
            (n,) rows of ``session.tiles``, all different.
        states
            (n, C) of ``LabelState`` or KEEP.
        """
        session, view = self._session, self._session.view
        if view is None or session.tiles is None:
            return
        try:
            ids, classes = session.tiles.ids[rows], session.classes
            change = session.require().set_labels(ids, states, classes)
        except SegmixError as error:
            session.report(error)
            session.watch.look_soon()
            change = None
        if change is None:
            # The layer still shows what was painted.
            session.show_labels()
            return
        session.tables.put_labels(view.source.id, rows, states)
        session.labels_are_new()

    def paint(self, rows: npt.NDArray[np.int64]) -> None:
        """Apply the brush to tiles, (n,) rows of ``session.tiles``."""
        tiles = self._session.tiles
        if self.tissue_class is None and self.paint_mode is not PaintMode.CLEAR:
            self._session.say("Choose a class for the brush first.", "warning")
            self._session.show_labels()
        elif tiles is not None:
            states = edited(tiles.labels[rows], self.paint_mode, self.active_class)
            self.set_labels(rows, states)

    def clear(self, rows: npt.NDArray[np.int64]) -> None:
        """Forget the labels of tiles."""
        tiles = self._session.tiles
        if tiles is not None:
            states = np.full_like(tiles.labels[rows], LabelState.UNKNOWN)
            self.set_labels(rows, states)

    def set_exactly(
        self, rows: npt.NDArray[np.int64], present: tuple[int, ...]
    ) -> None:
        """Make these classes present in the tiles, and all others absent."""
        tiles = self._session.tiles
        if tiles is not None:
            self.set_labels(rows, exactly(tiles.labels[rows], present))

    def set_state(self, class_index: int, state: LabelState) -> None:
        """Say of the current tile that a class is present, absent or unknown."""
        tiles = self._session.tiles
        if tiles is None or self.current_tile is None:
            return
        states = np.full_like(tiles.labels[[self.current_tile]], KEEP)
        states[0, class_index - 1] = state
        self.set_labels(np.array([self.current_tile]), states)

    def press_digit(self, digit: int) -> None:
        """Take class ``digit`` into the brush and apply it to the current tile.

        While a painting tool is in hand the tile is left alone; 0 clears the tile.
        """
        view = self._session.view
        may_edit = self.current_tile is not None and (
            view is None or not view.is_painting
        )
        if digit == 0:
            if may_edit:
                self.clear(np.array([self.current_tile]))
            return
        if digit > len(self._session.classes):
            count = len(self._session.classes)
            self._session.say(f"There are {count} classes only.", "warning")
            return
        self.choose_class(digit)
        if may_edit:
            self.paint(np.array([self.current_tile]))

    def choose_tile(self, row: int | None) -> None:
        """Make a tile the current one, without moving the view."""
        self.current_tile = row
        if self._session.view is not None:
            self._session.view.mark_tile(row)
        self.tile_changed.emit()

    def hover(self, row: int | None) -> None:
        """Note the tile under the cursor."""
        if row != self.hovered_tile:
            self.hovered_tile = row
            self.hover_changed.emit()

    def go_to(self, row: int) -> None:
        """Make a tile the current one and bring it into view."""
        self.choose_tile(row)
        if self._session.view is not None:
            self._session.view.centre_on(row)

    def next_unlabelled(self) -> None:
        """Go to the next tile of which nothing is known, in reading order."""
        self._walk(1)

    def previous_unlabelled(self) -> None:
        """Go to the previous tile of which nothing is known."""
        self._walk(-1)

    def _walk(self, step: int) -> None:
        tiles = self._session.tiles
        if tiles is None:
            return
        # Tiles that were added later are the last rows, wherever they lie.
        order = np.lexsort((tiles.cols, tiles.rows, tiles.image_ids))
        here = None
        if self.current_tile is not None:
            here = int(np.flatnonzero(order == self.current_tile)[0])
        place = next_unlabelled(tiles.labels[order], here, step)
        if place is None:
            self._session.say("Every tile is labeled.")
        else:
            self.go_to(int(order[place]))

    def forget_tile(self) -> None:
        """There is no current tile any more: another source is shown."""
        self.note_tool("pan")
        self.forget_rows()

    def forget_rows(self) -> None:
        """Rows are those of other tiles now."""
        self.current_tile = self.hovered_tile = None
        if self._session.view is not None:
            self._session.view.mark_tile(None)
        self.tile_changed.emit()
        self.hover_changed.emit()

    def undo(self) -> None:
        """Take the last change of labels, classes or images back."""
        self._session.undo("labels")

    def redo(self) -> None:
        """Make the change of labels that was undone last again."""
        self._session.redo("labels")
