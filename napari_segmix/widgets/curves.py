"""Live curves of a run: losses, scores, patch size, shuffle ratio."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from segmix_core.events import CurriculumDecided, Event, Metrics

if TYPE_CHECKING:
    from qtpy.QtGui import QHideEvent, QShowEvent

MAX_POINTS = 4096
"""Points kept a curve; a longer run is thinned to this."""
REDRAW_MS = 250
_COLORS = (
    *("#56b4e9", "#e69f00", "#2fbf8f", "#cc79a7", "#f0e442", "#d55e00", "#a3a3ff"),
    *("#e5484d", "#9a9a9a", "#a0704f", "#7fb800"),
)
"""Enough for the losses of every method, so that no two curves look alike."""
_SCORE_WORDS = ("accuracy", "auc", "dice", "f1", "iou", "precision", "recall", "score")
_NOT_DRAWN = ("learning_rate", "grad_norm")
"""Metrics on a scale of their own, which would flatten the losses."""
_PANELS = {
    "loss": ("Loss", 150),
    "score": ("Score", 110),
    "patch_size": ("Patch size (px)", 76),
    "shuffle_ratio": ("Shuffle ratio", 76),
}


@dataclass(slots=True)
class Series:
    """Points of one curve; neighbours are merged when there are too many.

    Parameters
    ----------
    is_level
        True for values that jump (patch size): merging keeps the later value. False
        for noisy values (loss): merging averages.
    """

    is_level: bool = False
    stride: int = 1
    _x: list[float] = field(default_factory=list)
    _y: list[float] = field(default_factory=list)
    _waiting: list[tuple[float, float]] = field(default_factory=list)

    def add(self, x: float, y: float) -> None:
        """Append a point; ``x`` must not fall."""
        self._waiting.append((x, y))
        if len(self._waiting) < self.stride:
            return
        self._x.append(x)
        values = [value for _, value in self._waiting]
        self._y.append(y if self.is_level else float(np.mean(values)))
        self._waiting.clear()
        if len(self._x) >= MAX_POINTS:
            self._thin()

    @property
    def last_x(self) -> float:
        """The newest x; minus infinity before the first point."""
        newest = self._waiting or [(x, 0.0) for x in self._x[-1:]]
        return newest[-1][0] if newest else -np.inf

    def points(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return x and y, (n,) each, n <= ``MAX_POINTS``, newest point included."""
        tail = self._waiting[-1:] if self.is_level or not self._x else []
        x = np.array(self._x + [x for x, _ in tail], np.float64)
        return x, np.array(self._y + [y for _, y in tail], np.float64)

    def cut(self, x: float) -> None:
        """Drop the points at ``x`` and later: a resumed run draws them again."""
        kept = int(np.searchsorted(np.array(self._x), x))
        del self._x[kept:], self._y[kept:]
        self._waiting = [point for point in self._waiting if point[0] < x]

    def _thin(self) -> None:
        even = len(self._x) // 2 * 2
        pairs = np.array(self._y[:even]).reshape(-1, 2)
        merged = pairs[:, 1] if self.is_level else pairs.mean(axis=1)
        self._x, self._y = self._x[1:even:2], merged.tolist()
        self.stride *= 2


class Curves(QWidget):
    """The curves of one run, drawn at most four times a second.

    Losses share a panel with the threshold (dashed); patch size and shuffle ratio
    have one each; panels without points are hidden.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._series: dict[str, Series] = {}
        self._curves: dict[str, pg.PlotDataItem] = {}
        self._panels: dict[str, pg.PlotWidget] = {}
        self._titles: dict[str, QLabel] = {}
        self._is_stale = False
        self._build()
        self._timer = QTimer(self, interval=REDRAW_MS)
        self._timer.timeout.connect(self._redraw)

    def clear(self) -> None:
        """Forget the run."""
        for name, curve in self._curves.items():
            self._panels[panel_of(name)].removeItem(curve)
        self._curves.clear()
        self._series.clear()
        self._show_panels()

    def add_events(self, events: Iterable[Event]) -> None:
        """Take what the events say; drawn with the next tick of the timer."""
        for event in events:
            if isinstance(event, Metrics):
                for name, value in event.values.items():
                    self._add(name, event.step, value)
            elif isinstance(event, CurriculumDecided):
                self._add("patch_size", event.step, event.patch_size)
                self._add("shuffle_ratio", event.step, event.shuffle_ratio)
                if event.threshold is not None:
                    self._add("threshold", event.step, event.threshold)

    def series(self, name: str) -> Series | None:
        """Return the points of a curve, or None if there are none."""
        return self._series.get(name)

    def panel(self, name: str) -> pg.PlotWidget:
        """Return the plot of a panel: loss, score, patch_size or shuffle_ratio."""
        return self._panels[name]

    def is_panel_visible(self, name: str) -> bool:
        """Return whether the panel has curves."""
        return not self._panels[name].isHidden()

    def title(self, name: str) -> str:
        """Return the title of a panel: its legend with the newest values, as HTML."""
        return str(self._titles[name].text())

    def _add(self, name: str, step: int, value: float) -> None:
        if name in _NOT_DRAWN or not np.isfinite(value):
            return
        series = self._series.get(name)
        if series is None:
            is_level = panel_of(name) in ("patch_size", "shuffle_ratio")
            series = Series(is_level=is_level or name == "threshold")
            self._series[name] = series
        elif series.last_x > step:
            series.cut(step)
        series.add(step, value)
        self._is_stale = True

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
        used = {panel_of(name) for name in self._series}
        for name, plot in self._panels.items():
            plot.setVisible(name in used)
            self._titles[name].setVisible(name in used)

    def _redraw(self) -> None:
        if not self._is_stale:
            return
        self._is_stale = False
        for name, series in self._series.items():
            curve = self._curves.get(name) or self._new_curve(name, series)
            curve.setData(*series.points())
        self._show_panels()
        self._write_titles()

    def _new_curve(self, name: str, series: Series) -> pg.PlotDataItem:
        if name == "threshold":
            pen = pg.mkPen(self._foreground(), width=1, style=Qt.PenStyle.DashLine)
        else:
            pen = pg.mkPen(self._color(name), width=1.5)
        step_mode = "left" if series.is_level else None
        curve = self._panels[panel_of(name)].plot(pen=pen, stepMode=step_mode)
        self._curves[name] = curve
        return curve

    def _color(self, name: str) -> str:
        peers = [n for n in self._series if panel_of(n) == panel_of(name)]
        peers = [n for n in peers if n != "threshold"]
        return _COLORS[peers.index(name) % len(_COLORS)]

    def _write_titles(self) -> None:
        """Name the newest values: the titles are the legend."""
        for panel, (text, _) in _PANELS.items():
            parts = []
            for name, series in self._series.items():
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
        curve = self._curves.get("threshold")
        if curve is not None:
            curve.setPen(pg.mkPen(color, width=1, style=Qt.PenStyle.DashLine))

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Take the colours of the theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange):
            self._follow_theme()

    def showEvent(self, event: "QShowEvent") -> None:  # noqa: N802
        """Draw again while visible."""
        super().showEvent(event)
        self._follow_theme()
        self._timer.start()

    def hideEvent(self, event: "QHideEvent") -> None:  # noqa: N802
        """Rest while hidden; events are still taken."""
        super().hideEvent(event)
        self._timer.stop()


def _words(name: str) -> str:
    words = name.replace("_", "&nbsp;")
    return words.upper() if name in ("er", "ecr") else words


def panel_of(name: str) -> str:
    """Return the panel in which a metric is drawn."""
    if name in _PANELS:
        return name
    return "score" if any(word in name for word in _SCORE_WORDS) else "loss"
