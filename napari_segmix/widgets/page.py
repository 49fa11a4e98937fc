"""What all pages of the dock share."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakMethod

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget
from superqt import QCollapsible

if TYPE_CHECKING:
    from psygnal import SignalInstance

    from napari_segmix.session import Session

QUIET = "#8a93a0"
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
        self._heard: list[tuple[SignalInstance, WeakMethod[Callable[..., object]]]] = []
        self.destroyed.connect(partial(_stop_listening, self._heard))
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        self.column.setSpacing(SPACING)

    def listen(self, signal: "SignalInstance", slot: Callable[..., object]) -> None:
        """Call ``slot``, a method of this widget, until the widget is destroyed."""
        signal.connect(slot)
        self._heard.append((signal, WeakMethod(slot)))


def _stop_listening(
    heard: "list[tuple[SignalInstance, WeakMethod[Callable[..., object]]]]",
    _destroyed: object = None,
) -> None:
    for signal, reference in heard:
        slot = reference()
        if slot is not None:
            signal.disconnect(slot, missing_ok=True)
    heard.clear()


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
