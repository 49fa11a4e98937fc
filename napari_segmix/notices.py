"""What the user is told: sentences, errors, and what is being worked on."""

import logging
from collections.abc import Callable
from typing import Any

from psygnal import EmitLoopError, Signal

from napari_segmix.executor import Executor
from segmix_core.errors import SegmixError

_log = logging.getLogger(__name__)


class Notices:
    """Tells the pages, and runs work in threads of which it tells.

    Attributes
    ----------
    executor
        Runs reading in threads.
    busy
        What is being worked on, a sentence; empty when nothing is.
    """

    message = Signal(str, str)
    """A sentence for the status line, and "info", "warning" or "error"."""
    busy_changed = Signal()

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
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

    def in_background(
        self,
        sentence: str,
        work: Callable[[], Any],
        on_done: Callable[[Any], None],
        on_error: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Run ``work`` in a thread while ``busy`` is ``sentence``; errors are shown.

        ``work`` must not touch the viewer or widgets; ``on_done`` and ``on_error``
        may, of which the second takes errors instead of their being shown.
        """
        self.show_busy(sentence)

        def done(result: Any) -> None:
            self.set_idle()
            on_done(result)

        def failed(error: BaseException) -> None:
            self.set_idle()
            (on_error or self.report)(error)

        self.executor.submit(work, on_done=done, on_error=failed)

    def set_idle(self) -> None:
        """Nothing is being worked on any more."""
        self.show_busy("")

    def show_busy(self, sentence: str) -> None:
        """Show what is being worked on, and how far it is."""
        self.busy = sentence
        self.busy_changed.emit()


def own_error(error: BaseException) -> SegmixError | None:
    """Return the error of ours that this is or that a signal wraps, or None."""
    cause: BaseException | None = error
    while isinstance(cause, EmitLoopError):
        cause = cause.__cause__
    return cause if isinstance(cause, SegmixError) else None
