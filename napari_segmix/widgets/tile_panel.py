"""The current tile: what is known of each class, to see and to say."""

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_segmix.model.changes import Topic
from napari_segmix.widgets.choice_row import ChoiceRow
from napari_segmix.widgets.elements import hint, swatch
from napari_segmix.widgets.page import Part
from segmix_core.project.records import LabelState

if TYPE_CHECKING:
    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model

_STATES = {"1": "Present", "0": "Absent", "-1": "Unknown"}


class TilePanel(Part):
    """A row a class: present, absent or unknown in the current tile."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(model, actions, parent)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(6)
        self._name = QLabel()
        self._name.setWordWrap(True)
        self._grid_holder = QWidget()
        self._grid = QGridLayout(self._grid_holder)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(4)
        self._grid.setColumnStretch(1, 1)
        self.rows: list[ChoiceRow] = []
        self.hover = hint()
        self.column.addWidget(self._name)
        self.column.addWidget(self._grid_holder)
        self.column.addWidget(self.hover)
        self.watch(self.rebuild, Topic.CLASSES)
        self.watch(self.refresh, Topic.LABELS, Topic.TILE)
        self.watch(self._show_hover, Topic.HOVER)
        self.rebuild()

    def rebuild(self) -> None:
        """Make the rows anew, one for each class."""
        while self._grid.count():
            self._grid.takeAt(0).widget().deleteLater()
        self.rows = []
        for place, entry in enumerate(self.model.project.classes):
            mark = QLabel()
            mark.setPixmap(swatch(entry.color).pixmap(14, 14))
            row = ChoiceRow(_STATES)
            row.chosen.connect(partial(self._say, entry.index))
            self._grid.addWidget(mark, place, 0)
            self._grid.addWidget(QLabel(entry.name), place, 1)
            self._grid.addWidget(row, place, 2)
            self.rows.append(row)
        self.refresh()

    def _say(self, class_index: int, value: str) -> None:
        self.actions.labels.set_state(class_index, LabelState(int(value)))

    def refresh(self) -> None:
        """Show the current tile as it is."""
        row, tiles = self.model.labeling.current_tile, self.model.project.tiles
        is_chosen = row is not None and tiles is not None and row < len(tiles)
        self._grid_holder.setVisible(is_chosen)
        if row is None or tiles is None or not is_chosen:
            self._name.setText(
                "Click a tile in the viewer, or go to the next unlabeled one."
            )
            return
        self._name.setText(self._describe(row))
        # Classes may have been added since the tiles were read.
        for choice, state in zip(self.rows, tiles.labels[row], strict=False):
            choice.value = str(int(state))

    def _describe(self, row: int) -> str:
        project = self.model.project
        tiles, place = project.tiles, project.placement
        if tiles is None or place is None:
            return f"Tile {row + 1}"
        text = f"<b>Tile {row + 1}</b> of {len(tiles)}"
        if place.gap > 0:
            names = {image.id: image.path.name for image in project.images}
            return f"{text}: {names.get(int(tiles.image_ids[row]), '')}"
        return f"{text}, row {tiles.rows[row] + 1}, column {tiles.cols[row] + 1}"

    def _show_hover(self) -> None:
        row, tiles = self.model.labeling.hovered_tile, self.model.project.tiles
        if row is None or tiles is None:
            self.hover.setText("Under the cursor: no tile")
            return
        states = tiles.labels[row]
        named = [
            entry.name
            for entry, state in zip(self.model.project.classes, states, strict=False)
            if state == LabelState.PRESENT
        ]
        is_known = (states != LabelState.UNKNOWN).any()
        text = " + ".join(named) or ("none of the classes" if is_known else "unlabeled")
        self.hover.setText(f"Under the cursor: tile {row + 1}, {text}")
