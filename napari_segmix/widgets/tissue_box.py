"""The tissue of the shown slide: see it, correct it, find it again."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_segmix.model.changes import Topic
from napari_segmix.widgets.choice_row import ChoiceRow
from napari_segmix.widgets.elements import hint, push_button
from napari_segmix.widgets.page import Part

if TYPE_CHECKING:
    from qtpy.QtGui import QHideEvent

    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model

_BRUSHES = {"1": "Tissue", "0": "Glass"}
_BRUSH_TIPS = {
    "1": "Add tissue that was missed. Key: 1",
    "0": "Erase ink, dust or glass. Key: 0",
}


class TissueBox(Part):
    """Shows where tiles are cut, and corrects it with a brush."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(model, actions, parent)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(6)
        control = actions.tissue
        self.show_button = QPushButton("Show tissue")
        self.show_button.setCheckable(True)
        self.show_button.setToolTip("Outline the tissue from which tiles are cut")
        self.show_button.clicked.connect(control.show)
        self.correct_button = QPushButton("Correct tissue")
        self.correct_button.setCheckable(True)
        self.correct_button.setToolTip("Paint or erase tissue with a brush")
        self.correct_button.clicked.connect(control.correct)
        self.find_button = push_button(
            "Find again",
            control.find_again,
            "Detect tissue again from the pixels and discard corrections",
        )
        self.brushes = ChoiceRow(_BRUSHES, _BRUSH_TIPS)
        self.brushes.chosen.connect(lambda value: control.paint_with(int(value)))
        self._hint = hint(
            "Each stroke is saved and updates the tiles. Tiles that remain keep their "
            "labels, and restored tiles get their old labels back."
        )
        row = QHBoxLayout()
        for button in (self.show_button, self.correct_button, self.find_button):
            row.addWidget(button)
        self.column.addLayout(row)
        self.column.addWidget(self.brushes)
        self.column.addWidget(self._hint)
        self.watch(self.refresh, Topic.TISSUE, Topic.SHOWN, Topic.BUSY)
        self.refresh()

    def refresh(self) -> None:
        """Show what can be done with the source that is shown."""
        tissue, busy = self.model.tissue, self.model.notices.busy
        self.setVisible(self.model.project.shows_slide)
        self.show_button.setChecked(tissue.is_shown)
        self.correct_button.setChecked(tissue.is_correcting)
        self.find_button.setEnabled(tissue.is_shown and not busy)
        self.brushes.value = str(tissue.brush)
        self.brushes.setVisible(tissue.is_correcting)
        self._hint.setVisible(tissue.is_correcting)

    def hideEvent(self, event: "QHideEvent") -> None:  # noqa: N802 - Qt's name
        """Put the brush down when another page is opened."""
        super().hideEvent(event)
        if self.model.tissue.is_correcting:
            self.actions.tissue.correct(False)
