"""What the brush of the correction window paints, and what to do with the tile."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QButtonGroup, QGridLayout, QHBoxLayout, QPushButton, QWidget

from napari_segmix.model.changes import Topic
from napari_segmix.widgets.elements import heading, hint, primary_button, push_button
from napari_segmix.widgets.page import Part
from segmix_core.project.records import BACKGROUND, IGNORE_INDEX

if TYPE_CHECKING:
    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model

_COLUMNS = 2
_STYLE = (
    "QPushButton {{ text-align: left; padding: 4px 6px; border-radius: 3px; "
    "border-left: 10px solid {color}; }}"
    "QPushButton:checked {{ background: rgba(90, 169, 230, 90); font-weight: bold; }}"
)


class BrushPalette(Part):
    """One button per class, background and ignore; accept and close."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(model, actions, parent)
        self.column.setContentsMargins(0, 0, 0, 0)
        self._title = heading("")
        self._group = QButtonGroup(self)
        self._group.idClicked.connect(actions.correction.paint_with)
        self._grid = QGridLayout()
        self._grid.setSpacing(3)
        self.accept_button = primary_button(
            "Accept, next", actions.masks.accept, "The mask is right now (key A)"
        )
        self.skip_button = push_button(
            "Skip", actions.masks.next_doubtful, "Go to the next tile (key N)"
        )
        self.close_button = push_button("Close", actions.correction.close)
        self._build()
        self.watch(self.refresh, Topic.CLASSES)
        self.watch(self._show_open, Topic.CORRECTION)
        self.watch(self._show_brush, Topic.MASK_BRUSH)
        self.refresh()

    def _build(self) -> None:
        self.column.addWidget(self._title)
        self.column.addLayout(self._grid)
        row = QHBoxLayout()
        row.addWidget(self.accept_button, 1)
        row.addWidget(self.skip_button)
        row.addWidget(self.close_button)
        self.column.addLayout(row)
        self.column.addWidget(
            hint(
                "Keys: 1 … 9 class, 0 background, I ignore, A accept, N next, "
                "[ and ] brush size, Ctrl-Z undo masks and reviews."
            )
        )

    def refresh(self) -> None:
        """Make the buttons anew."""
        for button in self._group.buttons():
            self._group.removeButton(button)
            self._grid.removeWidget(button)
            button.hide()
            button.deleteLater()
        choices = [
            (c.index, f"{c.index}  {c.name}", c.color)
            for c in self.model.project.classes
        ]
        choices.append((BACKGROUND, "0  Background", "#d5d8dc"))
        choices.append((IGNORE_INDEX, "I  Ignore", "#2b2d33"))
        for place, (index, text, color) in enumerate(choices):
            button = QPushButton(text)
            button.setCheckable(True)
            button.setStyleSheet(_STYLE.format(color=color))
            button.setToolTip(f"Paint {text[3:].lower()}")
            self._group.addButton(button, index)
            self._grid.addWidget(button, *divmod(place, _COLUMNS))
        self._show_brush()

    def _show_brush(self) -> None:
        class_index = self.model.masks.brush
        # An exclusive group cannot be emptied.
        self._group.setExclusive(False)
        for button in self._group.buttons():
            button.setChecked(self._group.id(button) == class_index)
        self._group.setExclusive(True)

    def _show_open(self) -> None:
        masks = self.model.masks
        row = masks.row
        self._title.setText("The view" if row is None else masks.tile_name(row))
        self.accept_button.setVisible(row is not None)
        self.skip_button.setVisible(row is not None)
