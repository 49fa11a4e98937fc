"""Live curves of a run: losses, scores, patch size, shuffle ratio."""

from typing import TYPE_CHECKING

import pyqtgraph as pg
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_segmix.model.curves import RunCurves, Series, panel_of

if TYPE_CHECKING:
    from qtpy.QtGui import QHideEvent, QShowEvent

REDRAW_MS = 250
_COLORS = (
    *("#56b4e9", "#e69f00", "#2fbf8f", "#cc79a7", "#f0e442", "#d55e00", "#a3a3ff"),
    *("#e5484d", "#9a9a9a", "#a0704f", "#7fb800"),
)
"""Enough for the losses of every method, so that no two curves look alike."""
_PANELS = {
    "loss": ("Loss", 150),
    "score": ("Score", 110),
    "patch_size": ("Patch size (px)", 76),
    "shuffle_ratio": ("Shuffle ratio", 76),
}


class Curves(QWidget):
    """The curves of one run, drawn at most four times a second.

    Losses share a panel with the threshold (dashed); patch size and shuffle ratio
    have one each; panels without points are hidden.
    """

    def __init__(self, run: RunCurves, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._run = run
        self._drawn = -1
        self._curves: dict[str, tuple[Series, pg.PlotDataItem]] = {}
        self._panels: dict[str, pg.PlotWidget] = {}
        self._titles: dict[str, QLabel] = {}
        self._build()
        self._timer = QTimer(self, interval=REDRAW_MS)
        self._timer.timeout.connect(self.refresh)

    def panel(self, name: str) -> pg.PlotWidget:
        """Return the plot of a panel: loss, score, patch_size or shuffle_ratio."""
        return self._panels[name]

    def is_panel_visible(self, name: str) -> bool:
        """Return whether the panel has curves."""
        return not self._panels[name].isHidden()

    def title(self, name: str) -> str:
        """Return the title of a panel: its legend with the newest values, as HTML."""
        return str(self._titles[name].text())

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for name, (_, height) in _PANELS.items():
            title = QLabel(textFormat=Qt.TextFormat.RichText, wordWrap=True)
            plot = pg.PlotWidget(background=None)
            plot.setFixedHeight(height)
            plot.setMenuEnabled(False)
            plot.setMouseEnabled(x=False, y=False)
            plot.hideButtons()
            plot.getAxis("left").setWidth(44)
            plot.setFrameShape(pg.QtWidgets.QFrame.Shape.NoFrame)
            self._panels[name], self._titles[name] = plot, title
            layout.addWidget(title)
            layout.addWidget(plot)
        first, *others = self._panels.values()
        for plot in others:
            plot.setXLink(first)
        ratio = self._panels["shuffle_ratio"]
        ratio.setYRange(0, 1)
        ratio.getAxis("left").setTicks([[(0, "0"), (0.5, "0.5"), (1, "1")]])
        self._show_panels()

    def _show_panels(self) -> None:
        used = {panel_of(name) for name in self._run.series}
        for name, plot in self._panels.items():
            plot.setVisible(name in used)
            self._titles[name].setVisible(name in used)

    def refresh(self) -> None:
        """Draw the curves as they are now."""
        if self._drawn == self._run.version:
            return
        self._drawn = self._run.version
        series = self._run.series
        for name, (old, curve) in tuple(self._curves.items()):
            if series.get(name) is not old:
                self._panels[panel_of(name)].removeItem(curve)
                del self._curves[name]
        for name, points in series.items():
            if name not in self._curves:
                self._curves[name] = points, self._new_curve(name, points)
            self._curves[name][1].setData(*points.points())
        self._show_panels()
        self._write_titles()

    def _new_curve(self, name: str, series: Series) -> pg.PlotDataItem:
        if name == "threshold":
            pen = pg.mkPen(self._foreground(), width=1, style=Qt.PenStyle.DashLine)
        else:
            pen = pg.mkPen(self._color(name), width=1.5)
        step_mode = "left" if series.is_level else None
        return self._panels[panel_of(name)].plot(pen=pen, stepMode=step_mode)

    def _color(self, name: str) -> str:
        peers = [n for n in self._run.series if panel_of(n) == panel_of(name)]
        peers = [n for n in peers if n != "threshold"]
        return _COLORS[peers.index(name) % len(_COLORS)]

    def _write_titles(self) -> None:
        """Name the newest values: the titles are the legend."""
        for panel, (text, _) in _PANELS.items():
            parts = []
            for name, series in self._run.series.items():
                y = series.points()[1]
                if panel_of(name) != panel or not len(y):
                    continue
                if name == "threshold":
                    parts.append(f"&#9476;&nbsp;threshold&nbsp;{y[-1]:.3g}")
                    continue
                label = "" if name == panel else f"&nbsp;{_words(name)}"
                color = self._color(name)
                mark = f"<span style='color:{color}'>&#9632;</span>"
                parts.append(f"{mark}{label}&nbsp;{y[-1]:.3g}")
            self._titles[panel].setText(f"<b>{text}</b>&nbsp; " + "&nbsp; ".join(parts))

    def _foreground(self) -> QColor:
        return self.palette().color(QPalette.ColorRole.WindowText)

    def _follow_theme(self) -> None:
        color = self._foreground()
        for plot in self._panels.values():
            for side in ("left", "bottom"):
                plot.getAxis(side).setPen(color)
                plot.getAxis(side).setTextPen(color)
        found = self._curves.get("threshold")
        if found is not None:
            found[1].setPen(pg.mkPen(color, width=1, style=Qt.PenStyle.DashLine))

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Take the colors of the theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange):
            self._follow_theme()

    def showEvent(self, event: "QShowEvent") -> None:  # noqa: N802
        """Draw again while visible."""
        super().showEvent(event)
        self._follow_theme()
        self.refresh()
        self._timer.start()

    def hideEvent(self, event: "QHideEvent") -> None:  # noqa: N802
        """Rest while hidden."""
        super().hideEvent(event)
        self._timer.stop()


def _words(name: str) -> str:
    words = name.replace("_", "&nbsp;")
    return words.upper() if name in ("er", "ecr") else words
