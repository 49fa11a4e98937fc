"""What the user is told: sentences, errors, and what is being worked on."""

import logging

from psygnal import EmitLoopError, Signal

from napari_segmix.model.changes import Changes, Topic
from segmix_core.errors import SegmixError

_log = logging.getLogger(__name__)


class Notices:
    """Sentences for the status line.

    Attributes
    ----------
    busy
        What is being worked on, a sentence; empty when nothing is.
    """

    message = Signal(str, str)
    """A sentence for the status line, and "info", "warning" or "error"."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self.busy = ""

    def say(self, sentence: str, level: str = "info") -> None:
        """Show a sentence in the status line; ``level`` info, warning or error."""
        self.message.emit(sentence, level)

    def report(self, error: BaseException) -> None:
        """Show an error: ours as it is, any other as unexpected, with a log entry."""
        own = own_error(error)
        if own is not None:
            self.say(str(own), "error")
            return
        _log.error("Unexpected error", exc_info=error)
        self.say(f"Unexpected error: {error or type(error).__name__}", "error")

    def refuse(self, error: BaseException) -> None:
        """Show why an edit was not stored: the project may not be as it is shown."""
        self.report(error)
        self._changes.note(Topic.REFUSED)

    def set_idle(self) -> None:
        """Nothing is being worked on any more."""
        self.show_busy("")

    def show_busy(self, sentence: str) -> None:
        """Show what is being worked on, and how far it is."""
        self.busy = sentence
        self._changes.note(Topic.BUSY)


def own_error(error: BaseException) -> SegmixError | None:
    """Return the error of ours that this is or that a signal wraps, or None."""
    cause: BaseException | None = error
    while isinstance(cause, EmitLoopError):
        cause = cause.__cause__
    return cause if isinstance(cause, SegmixError) else None
