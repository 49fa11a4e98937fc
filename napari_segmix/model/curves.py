"""The numbers of a run as curves, however long it runs."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from segmix_core.events import CurriculumDecided, Event, Metrics

MAX_POINTS = 4096
"""Points kept a curve; a longer run is thinned to this."""
PANELS = ("loss", "score", "patch_size", "shuffle_ratio")
_LEVELS = ("patch_size", "shuffle_ratio")
_SCORE_WORDS = ("accuracy", "auc", "dice", "f1", "iou", "precision", "recall", "score")
_NOT_DRAWN = ("learning_rate", "grad_norm")
"""Metrics on a scale of their own, which would flatten the losses."""


@dataclass(slots=True)
class Series:
    """Points of one curve; neighbors are merged when there are too many.

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


class RunCurves:
    """The curves of one run, by the names of their metrics.

    Attributes
    ----------
    series
        In the order in which they came up.
    version
        Grows with every point: who has drawn a version needs to draw newer ones only.
    """

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}
        self.version = 0

    def clear(self) -> None:
        """Forget the run."""
        self.series.clear()
        self.version += 1

    def add_events(self, events: Iterable[Event]) -> None:
        """Take what the events say."""
        for event in events:
            if isinstance(event, Metrics):
                for name, value in event.values.items():
                    self._add(name, event.step, value)
            elif isinstance(event, CurriculumDecided):
                self._add("patch_size", event.step, event.patch_size)
                self._add("shuffle_ratio", event.step, event.shuffle_ratio)
                if event.threshold is not None:
                    self._add("threshold", event.step, event.threshold)

    def _add(self, name: str, step: int, value: float) -> None:
        if name in _NOT_DRAWN or not np.isfinite(value):
            return
        series = self.series.get(name)
        if series is None:
            is_level = panel_of(name) in _LEVELS
            series = Series(is_level=is_level or name == "threshold")
            self.series[name] = series
        elif series.last_x > step:
            series.cut(step)
        series.add(step, value)
        self.version += 1


def panel_of(name: str) -> str:
    """Return the panel in which a metric is drawn."""
    if name in PANELS:
        return name
    return "score" if any(word in name for word in _SCORE_WORDS) else "loss"
