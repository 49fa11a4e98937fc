"""The brush: its class, what a stroke says, and the tool in hand."""

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QButtonGroup, QLabel, QToolButton, QWidget
from superqt import QFlowLayout

from napari_segmix.model.changes import Topic
from napari_segmix.model.label_edits import PaintMode
from napari_segmix.widgets.choice_row import ChoiceRow
from napari_segmix.widgets.elements import hint, swatch
from napari_segmix.widgets.page import Part

if TYPE_CHECKING:
    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model

_MODES: dict[str, str] = {
    PaintMode.ONLY: "Only this",
    PaintMode.ADD: "Add",
    PaintMode.REMOVE: "Remove",
    PaintMode.CLEAR: "Clear",
}
_MODE_SENTENCES = {
    PaintMode.ONLY: "Tiles show {name} and none of the other classes.",
    PaintMode.ADD: "Tiles show {name} too; other classes stay as they are.",
    PaintMode.REMOVE: "Tiles do not show {name}; other classes stay as they are.",
    PaintMode.CLEAR: "Labels of the tiles are cleared.",
}
_TOOLS = {
    "pan": "Move",
    "brush": "Brush",
    "polygon": "Polygon",
    "fill": "Fill",
    "pick": "Pick",
}
_TOOL_TIPS = {
    "pan": "Move and zoom; click chooses a tile, Shift-drag labels a rectangle",
    "brush": "Label tiles by painting over them",
    "polygon": "Label the tiles inside of a polygon; double-click ends it",
    "fill": "Label connected tiles of the same label",
    "pick": "Take the class of the tile that is clicked",
}


class BrushBox(Part):
    """Chooses what the next stroke does."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(model, actions, parent)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(6)
        labels = actions.labels
        self._group = QButtonGroup(self)
        self._chips = QWidget()
        self._flow = QFlowLayout(self._chips)
        self._flow.setContentsMargins(0, 0, 0, 0)
        self.modes = ChoiceRow(_MODES)
        self.modes.chosen.connect(lambda v: labels.choose_mode(PaintMode(v)))
        self._sentence = hint()
        self.tools = ChoiceRow(_TOOLS, _TOOL_TIPS)
        self.tools.chosen.connect(labels.choose_tool)
        self.column.addWidget(self._chips)
        self.column.addWidget(QLabel("A stroke, rectangle or key says"))
        self.column.addWidget(self.modes)
        self.column.addWidget(self._sentence)
        self.column.addWidget(QLabel("Tool"))
        self.column.addWidget(self.tools)
        self._group.idClicked.connect(labels.choose_class)
        self.watch(self.refresh, Topic.CLASSES)
        self.watch(self._show_brush, Topic.BRUSH)
        self.watch(self._show_tool, Topic.TOOL)
        self.refresh()
        self._show_tool()

    def refresh(self) -> None:
        """Show a chip for each class."""
        while self._flow.count():
            widget = self._flow.takeAt(0).widget()
            self._group.removeButton(widget)
            widget.deleteLater()
        for entry in self.model.project.classes:
            key = f"{entry.index}  " if entry.index <= 9 else ""
            chip = QToolButton()
            chip.setText(f" {key}{entry.name}")
            chip.setIcon(swatch(entry.color))
            chip.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            chip.setCheckable(True)
            chip.setStyleSheet(_CHIP_STYLE)
            if key:
                chip.setToolTip(f"Key {entry.index}")
            self._group.addButton(chip, entry.index)
            self._flow.addWidget(chip)
        self._show_brush()

    def _show_brush(self) -> None:
        labeling = self.model.labeling
        # An exclusive group cannot be emptied.
        self._group.setExclusive(False)
        for chip in self._group.buttons():
            chip.setChecked(self._group.id(chip) == labeling.active_class)
        self._group.setExclusive(True)
        self.modes.value = labeling.paint_mode
        entry, mode = labeling.tissue_class, labeling.paint_mode
        if entry is None and mode is not PaintMode.CLEAR:
            self._sentence.setText("Choose a class for the brush.")
            return
        name = entry.name if entry else ""
        self._sentence.setText(_MODE_SENTENCES[mode].format(name=name))

    def _show_tool(self) -> None:
        self.tools.value = self.model.labeling.tool


_CHIP_STYLE = """
QToolButton { border: 1px solid rgba(128, 138, 150, 110); border-radius: 4px;
              padding: 4px 8px; }
QToolButton:hover { border-color: #8a93a0; }
QToolButton:checked { border: 1px solid #5aa9e6; background: rgba(90, 169, 230, 70);
                      font-weight: bold; }
"""
