"""What of the model is different now, told once an action."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum, auto, unique

from psygnal import Signal


@unique
class Topic(StrEnum):
    """A part of the model that somebody may show."""

    BUSY = auto()
    """What is being worked on."""
    REFUSED = auto()
    """An edit was refused: the project may not be as it is shown."""
    PROJECT = auto()
    """Another project, or none, is open."""
    CLASSES = auto()
    SOURCES = auto()
    FILES = auto()
    """Which files of images changed since they were added."""
    SHOWN = auto()
    """Another source, or none, is shown: tiles, rows and places are new."""
    LABELS = auto()
    HISTORY = auto()
    """What undo and redo would do, and what is outdated by it."""
    BRUSH = auto()
    """Class and mode of the brush for tiles."""
    TOOL = auto()
    TILE = auto()
    """The current tile."""
    HOVER = auto()
    RUNS = auto()
    """The list of runs."""
    FOLLOWED = auto()
    """Another run, or none, is followed."""
    PROGRESS = auto()
    """The followed run has news."""
    MASKS = auto()
    """Masks of another run, or of none, are shown, or there are new ones."""
    REVIEWS = auto()
    """Doubts and reviews of tiles."""
    CORRECTION = auto()
    """Another part of a mask, or none, is open."""
    MASK_BRUSH = auto()
    TISSUE = auto()
    RESCUE = auto()


class Changes:
    """Collects what changes, and emits it as one event."""

    happened = Signal(frozenset)
    """The topics that changed, a frozenset of :class:`Topic`."""

    def __init__(self) -> None:
        self._noted: set[Topic] = set()
        self._depth = 0

    def note(self, *topics: Topic) -> None:
        """Tell that topics changed; inside of :meth:`together` at its end."""
        self._noted.update(topics)
        if not self._depth:
            self._emit()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make one event of all that changes inside."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._emit()

    def _emit(self) -> None:
        if self._noted:
            topics, self._noted = frozenset(self._noted), set()
            self.happened.emit(topics)
