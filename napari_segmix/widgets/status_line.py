"""The last line of the dock: what happened, what is being worked on."""

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QToolButton, QWidget

from napari_segmix.model.changes import Topic
from napari_segmix.widgets.page import MARGIN, Part

if TYPE_CHECKING:
    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model

_COLORS = {"info": "#5aa9e6", "warning": "#e69f00", "error": "#e5484d"}


class StatusLine(Part):
    """Shows messages until the next one, or until it is closed."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(model, actions, parent)
        self.column.setContentsMargins(MARGIN, 6, MARGIN, 6)
        self.column.setSpacing(4)
        self._bar = QProgressBar()
        self._bar.setRange(0, 0)
        self._bar.setTextVisible(False)
        self._bar.setFixedHeight(4)
        self._busy = ""
        self._mark = QLabel("●")
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._close = QToolButton()
        self._close.setText("✕")
        self._close.setAutoRaise(True)
        self._close.setToolTip("Hide this message")
        self._close.clicked.connect(self.clear)
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self._mark, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self._text, 1)
        row.addWidget(self._close, 0, Qt.AlignmentFlag.AlignTop)
        self.column.addWidget(self._bar)
        self.column.addLayout(row)
        self.clear()
        self._show_busy()
        self.listen(model.notices.message, self._show)
        self.watch(self._show_busy, Topic.BUSY)

    @property
    def text(self) -> str:
        """The sentence that is shown."""
        return str(self._text.text())

    def clear(self) -> None:
        """Hide the message."""
        self._text.clear()
        self._mark.hide()
        self._close.hide()

    def _show(self, sentence: str, level: str) -> None:
        self._text.setText(sentence)
        self._mark.setStyleSheet(f"QLabel {{ color: {_COLORS[level]}; }}")
        self._mark.show()
        self._close.show()

    def _show_busy(self) -> None:
        busy = self.model.notices.busy
        self._bar.setVisible(bool(busy))
        if busy:
            self._show(busy, "info")
        elif self.text == self._busy:
            self.clear()
        self._busy = busy
