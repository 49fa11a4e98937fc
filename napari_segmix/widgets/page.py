"""What all pages of the dock share."""

from collections.abc import Callable
from inspect import signature
from typing import TYPE_CHECKING
from weakref import WeakMethod, ref

from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget
from superqt import QCollapsible

if TYPE_CHECKING:
    from psygnal import SignalInstance

    from napari_segmix.session import Session

QUIET = "#7f8894"
"""Text that steps back; readable on dark and on light themes."""
MARGIN = 10
SPACING = 8


class Page(QWidget):
    """A page: it shows the session's state and calls its verbs.

    The session outlives the dock, so a page listens through :meth:`listen`, which
    ends with the widget.
    """

    def __init__(self, session: "Session", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        self.column.setSpacing(SPACING)

    def listen(self, signal: "SignalInstance", slot: Callable[..., object]) -> None:
        """Call ``slot``, a method of this widget, until the widget is destroyed."""
        reference, owner = WeakMethod(slot), ref(self)
        count = len(signature(slot).parameters)

        def relay(*values: object) -> None:
            # Not ended by ``destroyed``: Qt may emit that after Python has freed
            # what it would call.
            method = reference()
            if method is not None and isalive(owner()):
                method(*values)

        signal.connect(relay, max_args=count)


def heading(text: str) -> QLabel:
    """Return the title of a section."""
    label = QLabel(text)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    return label


def hint(text: str = "") -> QLabel:
    """Return a quiet sentence that wraps."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setStyleSheet(f"QLabel {{ color: {QUIET}; }}")
    return label


def collapsible(title: str, content: QWidget) -> QCollapsible:
    """Return a section that is closed until its title is clicked."""
    section = QCollapsible(
        title,
        expandedIcon="\N{BLACK DOWN-POINTING SMALL TRIANGLE}",
        collapsedIcon="\N{BLACK RIGHT-POINTING SMALL TRIANGLE}",
    )
    section.layout().setContentsMargins(0, 0, 0, 0)
    section.content().layout().setContentsMargins(0, SPACING, 0, 0)
    section.addWidget(content)
    return section


def rule() -> QFrame:
    """Return a thin horizontal line between sections."""
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setFixedHeight(1)
    line.setStyleSheet("QFrame { background: rgba(128, 138, 150, 90); border: none; }")
    return line
