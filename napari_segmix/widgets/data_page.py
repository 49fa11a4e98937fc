"""The first page: project, classes, images, labels that exist."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget
from superqt import QElidingLabel

from napari_segmix.model.changes import Topic
from napari_segmix.model.rescue import snapshots_of
from napari_segmix.widgets.class_table import ClassTable
from napari_segmix.widgets.dialogs import NewProjectDialog, ask_folder
from napari_segmix.widgets.elements import (
    QUIET,
    collapsible,
    heading,
    hint,
    push_button,
    rule,
)
from napari_segmix.widgets.import_box import ImportBox
from napari_segmix.widgets.page import SPACING, Page
from napari_segmix.widgets.rescue_box import RescueBox
from napari_segmix.widgets.snapshot_dialog import ask_snapshot
from napari_segmix.widgets.source_list import SourceList
from napari_segmix.widgets.tissue_box import TissueBox

if TYPE_CHECKING:
    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model

_STEPS = """<p><b>1 Data</b>: name your classes, add slides or a folder of tiles.</p>
<p><b>2 Label</b>: say which tiles show which classes. No outlines to draw.</p>
<p><b>3 Train</b>: learn from the labels, and watch how.</p>
<p><b>4 Masks</b>: look through the masks, the most doubtful first; correct some.</p>
<p><b>5 Export</b>: masks as TIFF, for QuPath, Fiji or Python.</p>"""


class DataPage(Page):
    """What there is to learn from."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(model, actions, parent)
        self._title = heading("")
        self._path = QElidingLabel()
        self._path.setStyleSheet(f"QLabel {{ color: {QUIET}; }}")
        self._welcome = hint(
            "A project is a folder that keeps your classes, labels, masks and runs. "
            "Everything is saved as you work; there is nothing to save by hand."
        )
        self._steps = hint(_STEPS)
        self.new_button = QPushButton("New project…")
        self.new_button.clicked.connect(self._ask_new)
        self.open_button = QPushButton("Open project…")
        self.open_button.clicked.connect(self._ask_open)
        self.sample_button = QPushButton("Try it on a sample slide")
        self.sample_button.clicked.connect(actions.sources.open_sample)
        self.close_button = QPushButton("Close")
        self.close_button.setToolTip("Close the project; running jobs continue")
        self.close_button.clicked.connect(actions.projects.close)
        self.snapshots_button = push_button(
            "Snapshots…",
            self._ask_snapshot,
            "List snapshots of the project and restore one",
        )
        buttons = self.new_button, self.open_button, self.snapshots_button
        for button in (*buttons, self.close_button):
            button.setMinimumWidth(button.sizeHint().width())
        self._build()
        self.watch(self.refresh, Topic.PROJECT)
        self.watch(self._enable, Topic.BUSY)
        self.refresh()

    def _build(self) -> None:
        buttons = QHBoxLayout()
        buttons.addWidget(self.new_button, 1)
        buttons.addWidget(self.open_button, 1)
        buttons.addWidget(self.close_button)
        place = QHBoxLayout()
        place.addWidget(self._path, 1)
        place.addWidget(self.snapshots_button)
        self.column.addWidget(self._title)
        self.column.addLayout(place)
        self.column.addWidget(self._welcome)
        self.column.addLayout(buttons)
        self.rescue = RescueBox(self.model, self.actions)
        self.column.addWidget(self.rescue)
        self.column.addWidget(self.sample_button)
        self.column.addWidget(self._steps)
        self.classes = ClassTable(self.model, self.actions)
        self.images = SourceList(self.model, self.actions)
        self.tissue = TissueBox(self.model, self.actions)
        self.labels = ImportBox(self.model, self.actions)
        self._content = QWidget()
        content = QVBoxLayout(self._content)
        content.setContentsMargins(0, 0, 0, 0)
        content.setSpacing(SPACING)
        for title, part in (("Classes", self.classes), ("Images", self.images)):
            content.addWidget(rule())
            content.addWidget(heading(title))
            content.addWidget(part)
        content.addWidget(self.tissue)
        more = collapsible("Import labels that exist already", self.labels)
        content.addWidget(rule())
        content.addWidget(more)
        self.column.addWidget(self._content)
        self.column.addStretch(1)

    def refresh(self) -> None:
        """Show the project that is open, or how to come to one."""
        path = self.model.project.path
        is_open = path is not None
        self._title.setText(path.stem if path else "Start with a project")
        self._path.setText(str(path.parent) if path else "")
        self._path.setVisible(is_open)
        self._welcome.setVisible(not is_open)
        self.sample_button.setVisible(not is_open)
        self._steps.setVisible(not is_open)
        self.close_button.setVisible(is_open)
        self.snapshots_button.setVisible(is_open)
        self._content.setVisible(is_open)
        self._enable()

    def _enable(self) -> None:
        for button in (
            self.new_button,
            self.open_button,
            self.sample_button,
            self.snapshots_button,
        ):
            button.setEnabled(not self.model.notices.busy)

    def _ask_new(self) -> None:
        dialog = NewProjectDialog(self)
        if dialog.exec():
            self.actions.projects.create(dialog.path, dialog.class_names)
        dialog.deleteLater()

    def _ask_open(self) -> None:
        path = ask_folder(self, "Open a project folder (*.segmix)")
        if path is not None:
            self.actions.projects.open_in_background(path)

    def _ask_snapshot(self) -> None:
        chosen = ask_snapshot(self, snapshots_of(self.model.project.path))
        if chosen is not None:
            self.actions.rescue.restore(chosen)
