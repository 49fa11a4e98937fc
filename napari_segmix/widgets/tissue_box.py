"""The tissue of the shown slide: see it, correct it, find it again."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_segmix.widgets.buttons import push_button
from napari_segmix.widgets.choice_row import ChoiceRow
from napari_segmix.widgets.page import Page, hint

if TYPE_CHECKING:
    from qtpy.QtGui import QHideEvent

    from napari_segmix.session import Session

_BRUSHES = {"1": "Tissue", "0": "Glass"}
_BRUSH_TIPS = {
    "1": "Add tissue that was missed. Key: 1",
    "0": "Erase ink, dust or glass. Key: 0",
}


class TissueBox(Page):
    """Shows where tiles are cut, and corrects it with a brush."""

    def __init__(self, session: "Session", parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(6)
        control = session.tissue
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
        self.listen(control.changed, self.refresh)
        self.listen(session.active_source_changed, self.refresh)
        self.listen(session.busy_changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show what can be done with the source that is shown."""
        control = self.session.tissue
        self.setVisible(control.is_possible)
        self.show_button.setChecked(control.is_shown)
        self.correct_button.setChecked(control.is_correcting)
        self.find_button.setEnabled(control.is_shown and not self.session.busy)
        self.brushes.value = str(control.brush)
        self.brushes.setVisible(control.is_correcting)
        self._hint.setVisible(control.is_correcting)

    def hideEvent(self, event: "QHideEvent") -> None:  # noqa: N802 - Qt's name
        """Put the brush down when another page is opened."""
        super().hideEvent(event)
        if self.session.tissue.is_correcting:
            self.session.tissue.correct(False)
