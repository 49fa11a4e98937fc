"""The SegMix dock: the pages in the order of the work."""

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QApplication,
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QMainWindow,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStackedWidget,
    QWidget,
)

from napari_segmix.session import session_for
from napari_segmix.widgets.data_page import DataPage
from napari_segmix.widgets.elements import rule
from napari_segmix.widgets.export_page import ExportPage
from napari_segmix.widgets.label_page import LabelPage
from napari_segmix.widgets.masks_page import MasksPage
from napari_segmix.widgets.page import MARGIN, Page
from napari_segmix.widgets.run_bar import RunBar
from napari_segmix.widgets.status_line import StatusLine
from napari_segmix.widgets.train_page import TrainPage

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtGui import QShowEvent

PAGES: dict[str, type[Page]] = {
    "Data": DataPage,
    "Label": LabelPage,
    "Train": TrainPage,
    "Masks": MasksPage,
    "Export": ExportPage,
}
_STEP_STYLE = """
QPushButton { border: none; border-bottom: 2px solid transparent; border-radius: 0;
              background: transparent; padding: 7px 2px; }
QPushButton:hover { border-bottom-color: #7a8494; }
QPushButton:checked { border-bottom-color: #5aa9e6; font-weight: bold; }
"""


class SegMixDock(Page):
    """Project, labels, training, masks and export of one viewer.

    Closing the dock hides it; session, runs and layers go on, and a new dock shows
    them as they are.
    """

    def __init__(self, napari_viewer: "Viewer") -> None:
        session = session_for(napari_viewer)
        super().__init__(session.model, session.actions)
        self.session = session
        self.setObjectName("segmix_dock")
        self._steps = QButtonGroup(self)
        self._stack = QStackedWidget()
        self.pages: dict[str, Page] = {}
        self._guarded: QMainWindow | None = None
        column = self.column
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(self._make_steps())
        column.addWidget(rule())
        column.addWidget(self._stack, 1)
        column.addWidget(rule())
        column.addWidget(RunBar(self.model, self.actions))
        self.status = StatusLine(self.model, self.actions)
        column.addWidget(self.status)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.listen(self.session.page_requested, self.show_page)
        self.show_page("Data")

    def _make_steps(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setContentsMargins(MARGIN, 4, MARGIN, 0)
        row.setSpacing(0)
        for number, (title, page_type) in enumerate(PAGES.items(), start=1):
            button = QPushButton(f"{number}  {title}")
            button.setCheckable(True)
            button.setStyleSheet(_STEP_STYLE)
            button.setCursor(Qt.CursorShape.PointingHandCursor)
            self._steps.addButton(button, number - 1)
            row.addWidget(button, 1)
            page = page_type(self.model, self.actions)
            self.pages[title] = page
            self._stack.addWidget(_scrolled(page))
        self._steps.idClicked.connect(self._stack.setCurrentIndex)
        return row

    def show_page(self, title: str) -> None:
        """Show a page by its title."""
        index = list(PAGES).index(title)
        self._steps.button(index).setChecked(True)
        self._stack.setCurrentIndex(index)

    @property
    def page_shown(self) -> str:
        """Title of the page that is shown."""
        return list(PAGES)[int(self._stack.currentIndex())]

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the size of a new dock."""
        return QSize(400, 720)

    def showEvent(self, event: "QShowEvent") -> None:  # noqa: N802 - Qt's name
        """Find the viewer's window, whose end is the session's end."""
        super().showEvent(event)
        window = self.window()
        # No event of the viewer tells that it is closed; its window is destroyed.
        if isinstance(window, QMainWindow) and window is not self._guarded:
            self._guarded = window
            window.destroyed.connect(self.session.close)
            QApplication.instance().aboutToQuit.connect(self.session.close)


def _scrolled(page: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(page)
    return area
