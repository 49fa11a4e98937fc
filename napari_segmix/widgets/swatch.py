"""Class colours as little squares."""

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap

_SIDE_PX = 14


def swatch(color: str) -> QIcon:
    """Return a rounded square of a colour "#rrggbb"."""
    pixmap = QPixmap(_SIDE_PX, _SIDE_PX)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(color))
    painter.drawRoundedRect(0, 0, _SIDE_PX, _SIDE_PX, 3, 3)
    painter.end()
    return QIcon(pixmap)
