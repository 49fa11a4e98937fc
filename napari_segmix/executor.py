"""Work beside the window: files are read in threads, layers only change in the window.

What is submitted must not touch the viewer, layers or widgets. Training never runs
here: it is a process of its own.
"""

from collections.abc import Callable, Generator
from typing import Any, Protocol


class Task(Protocol):
    """Work that was submitted."""

    def quit(self) -> None:
        """Ask it to stop at its next yield; no result is delivered then."""


class Executor(Protocol):
    """Runs functions and generators, and delivers their results to the window."""

    def submit(
        self,
        function: Callable[[], Any],
        *,
        on_done: Callable[[Any], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
        on_yield: Callable[[Any], None] | None = None,
    ) -> Task:
        """Run ``function``, a function or generator function without arguments.

        ``on_done`` gets what it returned, ``on_yield`` each value it yields.
        """

    def close(self) -> None:
        """Ask everything still running to stop, and deliver nothing more."""


class _ThreadTask:
    """A napari worker that can be silenced: after ``quit`` nothing is delivered."""

    def __init__(self, worker: Any) -> None:
        self.worker = worker
        self.is_open = True

    def quit(self) -> None:
        self.is_open = False
        self.worker.quit()


class ThreadExecutor:
    """napari workers: threads with signals, known to napari's own task list."""

    def __init__(self) -> None:
        self._tasks: list[_ThreadTask] = []

    def submit(
        self,
        function: Callable[[], Any],
        *,
        on_done: Callable[[Any], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
        on_yield: Callable[[Any], None] | None = None,
    ) -> Task:
        """See :class:`Executor`."""
        from napari.qt.threading import create_worker

        worker = create_worker(_guarded(function), _start_thread=False)
        task = _ThreadTask(worker)

        def deliver(result: tuple[BaseException | None, Any]) -> None:
            error, value = result
            callback, content = (on_error, error) if error else (on_done, value)
            if task.is_open and callback is not None:
                callback(content)

        def pass_on(value: Any) -> None:
            if task.is_open and on_yield is not None:
                on_yield(value)

        worker.returned.connect(deliver)
        worker.yielded.connect(pass_on)
        worker.finished.connect(lambda: self._forget(task))
        self._tasks.append(task)
        worker.start()
        return task

    def _forget(self, task: _ThreadTask) -> None:
        if task in self._tasks:
            self._tasks.remove(task)

    def close(self) -> None:
        """See :class:`Executor`."""
        for task in tuple(self._tasks):
            task.quit()
        self._tasks.clear()


def _guarded(
    function: Callable[[], Any],
) -> Callable[[], Generator[Any, None, tuple[BaseException | None, Any]]]:
    """Wrap into a generator that returns (error, value) instead of raising.

    napari shows whatever a worker raises in a dialog of its own; our errors go to the
    status line of the dock, with their hint.
    """

    def run() -> Generator[Any, None, tuple[BaseException | None, Any]]:
        try:
            value = function()
            if isinstance(value, Generator):
                value = yield from value
        except Exception as error:  # noqa: BLE001 - delivered, not swallowed
            return error, None
        return None, value

    return run
