"""The second page: say which tiles show what."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_segmix.model.changes import Topic
from napari_segmix.widgets.brush_box import BrushBox
from napari_segmix.widgets.elements import collapsible, heading, hint, rule
from napari_segmix.widgets.history_buttons import HistoryButtons
from napari_segmix.widgets.page import SPACING, Page
from napari_segmix.widgets.tile_panel import TilePanel

if TYPE_CHECKING:
    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model

_KEYS = (
    ("1 … 9", "class: labels the current tile, or chooses the brush"),
    ("0", "forget the labels of the current tile"),
    ("N, Shift-N", "next, previous unlabeled tile"),
    ("Shift-drag", "label a rectangle of tiles"),
    ("Double-click", "end a polygon"),
    ("Ctrl-Z", "undo the last change to labels, classes or images"),
    ("Ctrl-Shift-Z", "redo"),
)


class LabelPage(Page):
    """Brush, current tile, and the way through the unlabeled tiles."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(model, actions, parent)
        self._empty = hint()
        self.source = QComboBox()
        self.source.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.source.activated.connect(self._choose_source)
        self.progress = QProgressBar()
        labels = actions.labels
        self.previous = _button("Previous unlabeled", "Shift-N")
        self.previous.clicked.connect(labels.previous_unlabeled)
        self.next = _button("Next unlabeled", "N")
        self.next.clicked.connect(labels.next_unlabeled)
        self.history = HistoryButtons(
            model, actions, "labels", "while the tile labels layer is active"
        )
        self._build()
        self.watch(self.refresh, Topic.SOURCES, Topic.SHOWN, Topic.PROJECT)
        self.watch(self._show_progress, Topic.LABELS)
        self.refresh()

    def _build(self) -> None:
        self._content = QWidget()
        content = QVBoxLayout(self._content)
        content.setContentsMargins(0, 0, 0, 0)
        content.setSpacing(SPACING)
        content.addWidget(self.source)
        content.addWidget(self.progress)
        content.addWidget(rule())
        content.addWidget(heading("Brush"))
        content.addWidget(BrushBox(self.model, self.actions))
        content.addWidget(rule())
        content.addWidget(heading("Current tile"))
        content.addWidget(TilePanel(self.model, self.actions))
        content.addLayout(_pair(self.previous, self.next))
        content.addWidget(rule())
        content.addWidget(self.history)
        content.addWidget(collapsible("Keys", _key_table()))
        self.column.addWidget(self._empty)
        self.column.addWidget(self._content)
        self.column.addStretch(1)

    def refresh(self) -> None:
        """Show which sources there are, and how far labeling is."""
        project = self.model.project
        active = project.active_source
        self._empty.setText(
            "Add slides or a folder of tiles on the Data page first."
            if project.store
            else "Create or open a project on the Data page first."
        )
        self._empty.setVisible(active is None)
        self._content.setVisible(active is not None)
        self.source.clear()
        for source in project.sources:
            self.source.addItem(source.name, source.id)
        if active is not None:
            self.source.setCurrentIndex(self.source.findData(active.id))
        self._show_progress()

    def _show_progress(self) -> None:
        active = self.model.project.active_source
        if active is None:
            return
        counts = self.model.project.counts_of(active.id)
        self.progress.setRange(0, max(1, counts.total))
        self.progress.setValue(counts.labeled)
        self.progress.setFormat(f"{counts.labeled} of {counts.total} labeled")

    def _choose_source(self, _index: int) -> None:
        self.actions.sources.show(int(self.source.currentData()))


def _button(text: str, key: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(f"Key {key}, while the tile labels layer is active")
    return button


def _pair(left: QWidget, right: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.addWidget(left, 1)
    row.addWidget(right, 1)
    return row


def _key_table() -> QWidget:
    table = QWidget()
    grid = QGridLayout(table)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setColumnStretch(1, 1)
    for row, (key, meaning) in enumerate(_KEYS):
        grid.addWidget(QLabel(key), row, 0)
        grid.addWidget(hint(meaning), row, 1)
    return table
