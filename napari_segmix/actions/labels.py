"""Labeling: what a key, a stroke or a click on the Label page does."""

import numpy as np
import numpy.typing as npt

from napari_segmix.actions.history import HistoryActions
from napari_segmix.actions.showing import Showing
from napari_segmix.layers.canvas import Canvas
from napari_segmix.model.changes import Topic
from napari_segmix.model.label_edits import (
    PaintMode,
    States,
    edited,
    exactly,
    next_unlabeled,
)
from napari_segmix.model.model import Model
from segmix_core.errors import SegmixError
from segmix_core.project.records import KEEP, LabelState, TissueClass


class LabelActions:
    """Edits the labels of the shown source; rows are those of its tiles."""

    def __init__(
        self, model: Model, canvas: Canvas, showing: Showing, history: HistoryActions
    ) -> None:
        self._changes = model.changes
        self._project = model.project
        self._labeling = model.labeling
        self._notices = model.notices
        self._canvas = canvas
        self._showing = showing
        self._history = history
        self._had_classes = False
        model.changes.happened.connect(self._on_change)

    # ---- the brush ----------------------------------------------------------------

    def choose_class(self, class_index: int) -> None:
        """Take a class, 1..C, into the brush; other numbers do nothing."""
        found = self._class_of(class_index)
        if found is not None:
            self._labeling.take_brush(found)

    def choose_mode(self, mode: PaintMode) -> None:
        """Choose what painting sets."""
        self._labeling.take_brush(self._labeling.tissue_class, mode)

    def note_tool(self, tool: str) -> None:
        """Note that another tool is in hand."""
        self._labeling.take_tool(tool)

    def choose_tool(self, tool: str) -> None:
        """Take a tool of the tile layer: "pan", "brush", "fill", "polygon", "pick"."""
        self._canvas.choose_tool(tool)

    def _class_of(self, index: int) -> TissueClass | None:
        return next((c for c in self._project.classes if c.index == index), None)

    # ---- labels -------------------------------------------------------------------

    def set_labels(self, rows: npt.NDArray[np.int64], states: States) -> None:
        """Label tiles of the shown source.

        Parameters
        ----------
        rows
            (n,) rows of its tiles, all different.
        states
            (n, C) of ``LabelState`` or KEEP.
        """
        project, tiles = self._project, self._project.tiles
        if tiles is None:
            return
        change = None
        try:
            change = project.require().set_labels(
                tiles.ids[rows], states, project.classes, tiles.labels[rows]
            )
        except SegmixError as error:
            self._notices.refuse(error)
        if change is None:
            # The layer still shows what was painted.
            self._showing.show_labels()
        else:
            project.note_labels(change, rows, states)

    def paint(self, rows: npt.NDArray[np.int64]) -> None:
        """Apply the brush to tiles, (n,) rows."""
        tiles, labeling = self._project.tiles, self._labeling
        if labeling.tissue_class is None and (
            labeling.paint_mode is not PaintMode.CLEAR
        ):
            self._notices.say("Choose a class for the brush first.", "warning")
            self._showing.show_labels()
        elif tiles is not None:
            mode, index = labeling.paint_mode, labeling.active_class
            self.set_labels(rows, edited(tiles.labels[rows], mode, index))

    def clear(self, rows: npt.NDArray[np.int64]) -> None:
        """Forget the labels of tiles."""
        tiles = self._project.tiles
        if tiles is not None:
            states = np.full_like(tiles.labels[rows], LabelState.UNKNOWN)
            self.set_labels(rows, states)

    def set_exactly(
        self, rows: npt.NDArray[np.int64], present: tuple[int, ...]
    ) -> None:
        """Make these classes present in the tiles, and all others absent."""
        tiles = self._project.tiles
        if tiles is not None:
            self.set_labels(rows, exactly(tiles.labels[rows], present))

    def set_state(self, class_index: int, state: LabelState) -> None:
        """Set whether a class is present, absent or unknown in the current tile."""
        tiles, row = self._project.tiles, self._labeling.current_tile
        if tiles is None or row is None:
            return
        states = np.full_like(tiles.labels[[row]], KEEP)
        states[0, class_index - 1] = state
        self.set_labels(np.array([row]), states)

    def press_digit(self, digit: int) -> None:
        """Take class ``digit`` into the brush and apply it to the current tile.

        While a painting tool is in hand the tile is left alone; 0 clears the tile.
        """
        row = self._labeling.current_tile
        rows = None if row is None or self._canvas.is_painting else np.array([row])
        count = len(self._project.classes)
        if digit > count:
            self._notices.say(f"There are {count} classes only.", "warning")
            return
        with self._changes.together():
            if digit:
                self.choose_class(digit)
            if rows is not None:
                (self.paint if digit else self.clear)(rows)

    # ---- tiles --------------------------------------------------------------------

    def choose_tile(self, row: int | None) -> None:
        """Make a tile the current one, without moving the view."""
        self._canvas.mark_tile(row)
        self._labeling.choose_tile(row)

    def hover(self, row: int | None) -> None:
        """Note the tile under the cursor."""
        self._labeling.hover(row)

    def go_to(self, row: int) -> None:
        """Make a tile the current one and bring it into view."""
        self.choose_tile(row)
        self._canvas.center_on(row)

    def next_unlabeled(self) -> None:
        """Go to the next tile of which nothing is known, in reading order."""
        self._walk(1)

    def previous_unlabeled(self) -> None:
        """Go to the previous tile of which nothing is known."""
        self._walk(-1)

    def _walk(self, step: int) -> None:
        tiles, current = self._project.tiles, self._labeling.current_tile
        if tiles is None:
            return
        # Tiles that were added later are the last rows, wherever they lie.
        order = np.lexsort((tiles.cols, tiles.rows, tiles.image_ids))
        here = None
        if current is not None:
            here = int(np.flatnonzero(order == current)[0])
        place = next_unlabeled(tiles.labels[order], here, step)
        if place is None:
            self._notices.say("Every tile is labeled.")
        else:
            self.go_to(int(order[place]))

    def undo(self) -> None:
        """Take the last change of labels, classes or images back."""
        self._history.undo("labels")

    def redo(self) -> None:
        """Make the change that was undone last again."""
        self._history.redo("labels")

    # ---- what happens elsewhere ---------------------------------------------------

    def _on_change(self, topics: frozenset[Topic]) -> None:
        if Topic.PROJECT in topics:
            self._had_classes = False
        if not topics.isdisjoint({Topic.PROJECT, Topic.CLASSES}):
            self._keep_brush(is_new=not self._had_classes)
            self._had_classes = bool(self._project.classes)

    def _keep_brush(self, *, is_new: bool) -> None:
        """Keep the class in the brush, with its name and color of now."""
        held = self._labeling.tissue_class
        now = self._class_of(1 if is_new or held is None else held.index)
        if is_new:
            self._labeling.take_brush(now)
        elif held is None:
            return
        elif now is not None and now.since == held.since:
            self._labeling.take_brush(now)
        else:
            # Another class in the brush would label tiles with what nobody chose.
            self._labeling.take_brush(None)
            self._notices.say(
                f"Class {held.name} was removed. Choose another class for the brush.",
                "warning",
            )
