"""Labels that exist already: a table, or digits in file names."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QPushButton, QWidget

from napari_segmix.model.changes import Topic
from napari_segmix.widgets.dialogs import ask_folder, ask_table
from napari_segmix.widgets.elements import hint
from napari_segmix.widgets.page import Part
from segmix_core.project.importers.brackets import PRESETS

if TYPE_CHECKING:
    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model

KINDS = {
    "auto": "Find out from the file",
    "table": "Table, a row an image",
    "windows": "Table, a row a window of an image",
    "brackets": "Digits in file names, as [1001]",
}


class ImportBox(Part):
    """Chooses a format and a file, and imports."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(model, actions, parent)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.kind = QComboBox()
        for value, text in KINDS.items():
            self.kind.addItem(text, value)
        self.preset = QComboBox()
        self.preset.addItems(PRESETS)
        self.preset.setToolTip("The data set, which says what each digit means")
        self.replace = QCheckBox("Replace labeled tiles with windows")
        self.keep = QCheckBox("Keep existing labels")
        self.keep.setToolTip("Set only labels that are still unknown")
        self.button = QPushButton("Import labels…")
        self.button.clicked.connect(self._ask)
        self._form = QFormLayout()
        self._form.addRow("Format", self.kind)
        self._form.addRow("Data set", self.preset)
        self.column.addWidget(
            hint(
                "Images are matched by path or file name. If any row does not match, "
                "nothing is imported. Undo removes the whole import."
            )
        )
        self.column.addLayout(self._form)
        self.column.addWidget(self.replace)
        self.column.addWidget(self.keep)
        self.column.addWidget(self.button)
        self.kind.currentIndexChanged.connect(self._show_options)
        self.watch(self._enable, Topic.BUSY, Topic.SOURCES)
        self._show_options()
        self._enable()

    def _show_options(self) -> None:
        kind = self.kind.currentData()
        self._form.setRowVisible(self.preset, kind == "brackets")
        self.replace.setVisible(kind == "windows")
        self.keep.setVisible(kind != "windows")

    def _enable(self) -> None:
        self.button.setEnabled(
            bool(self.model.project.sources) and not self.model.notices.busy
        )

    def _ask(self) -> None:
        kind = self.kind.currentData()
        is_folder = kind == "brackets"
        path = ask_folder(self, "Folder of images") if is_folder else ask_table(self)
        if path is not None:
            self.actions.sources.import_labels(
                path,
                kind=kind,
                preset=self.preset.currentText() if is_folder else None,
                replace=kind == "windows" and self.replace.isChecked(),
                keep=kind != "windows" and self.keep.isChecked(),
            )
