"""Keep a process for :class:`FirstLook` ready before it is needed."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from segmix_core.errors import JobError
from segmix_core.slides.first_look.look import FirstLook


class FirstLookPool:
    """Lends processes that open files, and keeps one ready for the next request.

    Starting a process takes as long as reading hundreds of small files. Thread-safe:
    each thread gets its own process, so none waits for another's files.

    Parameters
    ----------
    python
        Returns the interpreter with SegMix, as for :class:`FirstLook`. Called each
        time, because users can change it.
    """

    def __init__(self, python: Callable[[], str | None] = lambda: None) -> None:
        self._python = python
        self._lock = threading.Lock()
        self._spare: FirstLook | None = None
        self._is_closed = False

    def warm(self) -> None:
        """Start a process in the background if none is ready."""
        with self._lock:
            is_needed = self._spare is None and not self._is_closed
        if is_needed:
            # The next request raises the error.
            with suppress(JobError):
                self._keep(FirstLook(self._python()))

    @contextmanager
    def borrow(self) -> Iterator[FirstLook]:
        """Lend a process; JobError if it cannot be started."""
        look = self._take()
        try:
            yield look
        finally:
            if look.is_running and not look.has_failed:
                self._keep(look)
            else:
                look.close()
                self.warm()

    def close(self) -> None:
        """End the waiting process; lent ones end when they are returned."""
        with self._lock:
            self._is_closed = True
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.close()

    def _take(self) -> FirstLook:
        python = self._python()
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None and spare.python == python:
            return spare
        if spare is not None:
            spare.close()
        return FirstLook(python)

    def _keep(self, look: FirstLook) -> None:
        with self._lock:
            is_kept = self._spare is None and not self._is_closed
            if is_kept:
                self._spare = look
        if not is_kept:
            look.close()
