"""Opening a project beside the window: an older one is migrated, which takes time."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from segmix_core.project.store import ProjectStore

if TYPE_CHECKING:
    from napari_segmix.executor import Executor, Task


class ProjectOpening:
    """Opens one project at a time in a thread.

    Parameters
    ----------
    executor
        Runs the thread.
    """

    def __init__(self, executor: "Executor") -> None:
        self._executor = executor
        self._lock = Lock()
        self._wanted: object | None = None
        self._opened: ProjectStore | None = None
        self._task: Task | None = None

    def begin(
        self,
        path: Path,
        on_done: Callable[[ProjectStore], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        """Open a folder; another that is being opened is let go."""
        self.cancel()
        wanted = self._wanted = object()

        def work() -> ProjectStore:
            store = ProjectStore.open(path)
            with self._lock:
                if self._wanted is wanted:
                    self._opened = store
                else:
                    store.close()
            return store

        def done(store: ProjectStore) -> None:
            with self._lock:
                self._wanted = self._opened = self._task = None
            on_done(store)

        def failed(error: BaseException) -> None:
            self._task = None
            on_error(error)

        self._task = self._executor.submit(work, on_done=done, on_error=failed)
        if self._wanted is not wanted:
            # An executor that does not wait is done by now.
            self._task = None

    def cancel(self) -> bool:
        """Cancel opening without a message; return whether one was in progress."""
        task, self._task = self._task, None
        if task is not None:
            task.quit()
        with self._lock:
            self._wanted = None
            store, self._opened = self._opened, None
        if store is not None:
            store.close()
        return task is not None
