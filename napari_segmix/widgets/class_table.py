"""The classes of the project: color, name, how often labeled."""

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_segmix.model.changes import Topic
from napari_segmix.widgets.elements import swatch
from napari_segmix.widgets.page import Part

if TYPE_CHECKING:
    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model
    from segmix_core.project.records import TissueClass

_COLUMNS = ("", "Class", "Present", "Absent")
_NAME = 1
_ROW_PX = 26
_MOST_ROWS = 8


class ClassTable(Part):
    """Names and colors to edit, and a line to add a class."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(model, actions, parent)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(4)
        self._classes: tuple[TissueClass, ...] = ()
        self.table = self._make_table()
        self._later = QTimer(self, singleShot=True, interval=0)
        self._later.timeout.connect(self.refresh)
        self.table.itemDelegate().closeEditor.connect(lambda *_: self._later.start())
        self.new_name = QLineEdit()
        self.new_name.setPlaceholderText("Name of another class")
        self.new_name.returnPressed.connect(self._add)
        self.add_button = QPushButton("Add class")
        self.add_button.clicked.connect(self._add)
        row = QHBoxLayout()
        row.addWidget(self.new_name, 1)
        row.addWidget(self.add_button)
        self.column.addWidget(self.table)
        self.column.addLayout(row)
        self.watch(self.refresh, Topic.CLASSES, Topic.LABELS)
        self.refresh()

    def _make_table(self) -> QTableWidget:
        table = QTableWidget(0, len(_COLUMNS))
        table.setHorizontalHeaderLabels(_COLUMNS)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(_ROW_PX)
        table.setShowGrid(False)
        table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Fixed)
        header.setHighlightSections(False)
        header.setDefaultAlignment(
            Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        )
        table.setColumnWidth(0, 34)
        table.cellChanged.connect(self._rename)
        table.cellClicked.connect(self._on_click)
        return table

    def refresh(self) -> None:
        """Show the classes and their counts as they are."""
        if self.table.state() == QAbstractItemView.State.EditingState:
            # A name is being typed; the row must stay under it.
            return
        classes = self._classes = self.model.project.classes
        counts = self.model.project.label_counts
        table = self.table
        table.blockSignals(True)
        table.setRowCount(len(classes))
        for row, entry in enumerate(classes):
            color = _fixed("", f"Change the color of {entry.name}")
            color.setIcon(swatch(entry.color))
            name = QTableWidgetItem(entry.name)
            name.setToolTip("Double-click to rename")
            present = _number(counts.present[row], f"Tiles with {entry.name}")
            absent = _number(counts.absent[row], f"Tiles known to have no {entry.name}")
            for column, item in enumerate((color, name, present, absent)):
                table.setItem(row, column, item)
        table.blockSignals(False)
        rows = min(max(len(classes), 1), _MOST_ROWS)
        table.setFixedHeight(
            table.horizontalHeader().sizeHint().height() + 4 + rows * _ROW_PX
        )

    def _add(self) -> None:
        name = self.new_name.text().strip()
        if name:
            self.actions.classes.add(name)
            self.new_name.clear()

    def _rename(self, row: int, column: int) -> None:
        if column == _NAME:
            name, known = self.table.item(row, column).text(), self._classes
            self.actions.classes.rename(row + 1, name, known)

    def _on_click(self, row: int, column: int) -> None:
        if column == 0:
            self.ask_color(row + 1)

    def ask_color(self, class_index: int) -> None:
        """Let the user choose a class's color."""
        known = self._classes
        entry = known[class_index - 1]
        color = QColorDialog.getColor(
            QColor(entry.color), self, f"Color of {entry.name}"
        )
        if color.isValid():
            self.actions.classes.recolor(class_index, color.name(), known)


def _fixed(text: str, tip: str) -> QTableWidgetItem:
    item = QTableWidgetItem(text)
    item.setFlags(Qt.ItemFlag.ItemIsEnabled)
    item.setToolTip(tip)
    return item


def _number(value: int, tip: str) -> QTableWidgetItem:
    item = _fixed(f"{value:,}".replace(",", "\u2009"), tip)
    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return item
