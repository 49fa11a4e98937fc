"""What pages are made of: titles, hints, buttons, lists, swatches."""

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QFrame,
    QHeaderView,
    QLabel,
    QPushButton,
    QTreeWidget,
    QWidget,
)
from superqt import QCollapsible

QUIET = "#7f8894"
"""Text that steps back; readable on dark and on light themes."""
_SECTION_SPACING = 8
_PRIMARY = """
QPushButton { background: #2f7cc0; color: #ffffff; font-weight: bold; padding: 6px 10px;
              border-radius: 3px; }
QPushButton:hover { background: #3d8fd6; }
QPushButton:disabled { background: rgba(128, 138, 150, 70);
                       color: rgba(160, 168, 178, 170); }
"""
_DANGER = """
QPushButton { background: #b3363a; color: #ffffff; padding: 4px 8px;
              border-radius: 3px; }
QPushButton:hover { background: #d0474b; }
"""
_LIST_STYLE = "QTreeWidget::item { padding: 3px 2px; }"
_MOST_ROWS = 8
_SIDE_PX = 14


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
    section.content().layout().setContentsMargins(0, _SECTION_SPACING, 0, 0)
    section.addWidget(content)
    return section


def rule() -> QFrame:
    """Return a thin horizontal line between sections."""
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setFixedHeight(1)
    line.setStyleSheet("QFrame { background: rgba(128, 138, 150, 90); border: none; }")
    return line


def push_button(text: str, action: Callable[..., object], tip: str = "") -> QPushButton:
    """Return a button that calls ``action`` without arguments."""
    button = QPushButton(text)
    button.setToolTip(tip)
    button.clicked.connect(lambda _checked=False: action())
    return button


def primary_button(
    text: str, action: Callable[..., object], tip: str = ""
) -> QPushButton:
    """Return the button of a page's next step."""
    button = push_button(text, action, tip)
    button.setStyleSheet(_PRIMARY)
    return button


def set_danger(button: QPushButton, dangerous: bool) -> None:
    """Color a button that destroys work, or take the color back."""
    button.setStyleSheet(_DANGER if dangerous else "")


def prepare_list(tree: QTreeWidget) -> None:
    """Make a flat list: the first column takes the room that others leave."""
    tree.setRootIsDecorated(False)
    tree.setUniformRowHeights(True)
    tree.setStyleSheet(_LIST_STYLE)
    header = tree.header()
    header.setStretchLastSection(False)
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    for column in range(1, tree.columnCount()):
        header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)


def fit_height(tree: QTreeWidget) -> None:
    """Give a list the height of its rows, eight at most; hidden without rows."""
    count = tree.topLevelItemCount()
    tree.setVisible(count > 0)
    if not count:
        return
    row = max(tree.sizeHintForRow(0), tree.fontMetrics().height() + 6)
    header = 0 if tree.isHeaderHidden() else tree.header().sizeHint().height()
    tree.setFixedHeight(min(count, _MOST_ROWS) * row + header + 6)


def swatch(color: str) -> QIcon:
    """Return a rounded square of a color "#rrggbb"."""
    pixmap = QPixmap(_SIDE_PX, _SIDE_PX)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(color))
    painter.drawRoundedRect(0, 0, _SIDE_PX, _SIDE_PX, 3, 3)
    painter.end()
    return QIcon(pixmap)
