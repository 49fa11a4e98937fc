"""Creating, opening and closing projects."""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from psygnal import EmitLoopError

from napari_segmix.actions.background import Background
from napari_segmix.actions.rescue import RescueActions
from napari_segmix.actions.runs import RunActions
from napari_segmix.actions.showing import Showing
from napari_segmix.actions.sources import SourceActions
from napari_segmix.actions.tissue import TissueActions
from napari_segmix.model.changes import Topic
from napari_segmix.model.model import Model
from napari_segmix.model.notices import own_error
from segmix_core.errors import SegmixError
from segmix_core.project.store import ProjectStore

if TYPE_CHECKING:
    from napari_segmix.executor import Executor, Task


class ProjectActions:
    """Opens one project at a time.

    Parameters
    ----------
    model
        Its project is changed.
    background
        Reads in threads.
    showing, runs, sources, tissue, rescue
        What follows from another project.
    """

    def __init__(
        self,
        model: Model,
        background: Background,
        showing: Showing,
        runs: RunActions,
        sources: SourceActions,
        tissue: TissueActions,
        rescue: RescueActions,
    ) -> None:
        self._changes = model.changes
        self._project = model.project
        self._notices = model.notices
        self._background = background
        self._showing = showing
        self._runs = runs
        self._sources = sources
        self._tissue = tissue
        self._rescue = rescue
        self._opening = _Opening(background.executor)

    def create(self, path: Path, class_names: Sequence[str]) -> bool:
        """Create a project in a new folder and open it; whether that worked."""
        self.cancel()
        try:
            store = ProjectStore.create(path, class_names)
        except SegmixError as error:
            self._notices.report(error)
            return False
        return self._take(store)

    def open(self, path: Path) -> bool:
        """Open a project folder and wait for it; whether that worked.

        Its first source is shown, and its runs are followed again.
        """
        self.cancel()
        try:
            store = ProjectStore.open(path)
        except SegmixError as error:
            self._refuse(path, error)
            return False
        return self._take(store)

    def open_in_background(
        self, path: Path, on_open: Callable[[], object] | None = None
    ) -> None:
        """Open a project folder as :meth:`open` does, without blocking the window.

        ``on_open`` is called when it is open and shown.
        """
        notices = self._notices
        notices.show_busy(f"Opening {path.name}…")

        def done(store: ProjectStore) -> None:
            notices.set_idle()
            if self._take(store) and on_open is not None:
                on_open()

        def failed(error: BaseException) -> None:
            notices.set_idle()
            self._refuse(path, error)

        self._opening.begin(path, done, failed)

    def close(self) -> None:
        """Close the project; everything is on disk already, and runs go on."""
        self.cancel()
        project = self._project
        store = project.store
        if store is None:
            return
        self._tissue.finish()
        self._background.executor.close()
        # From here on nobody can ask the store, which may be too damaged to answer.
        project.take(None)
        self._runs.detach()
        self._showing.show_source(None)
        store.close()
        self._notices.set_idle()
        with self._changes.together():
            self._changes.note(
                *(Topic.PROJECT, Topic.CLASSES, Topic.SOURCES, Topic.FILES),
                *(Topic.LABELS, Topic.HISTORY),
            )

    def cancel(self) -> None:
        """Open no project that is being opened."""
        if self._opening.cancel():
            self._notices.set_idle()

    def _refuse(self, path: Path, error: BaseException) -> None:
        self._notices.report(error)
        own = own_error(error)
        if own is not None:
            self._rescue.note_failure(path, own)

    def _take(self, store: ProjectStore) -> bool:
        """Show a project instead of the open one; closed again if it is damaged."""
        self.close()
        self._background.begin_project()
        try:
            self._project.take(store)
            self._notices.say(f"Opened {store.path.name}.")
            self._changes.note(Topic.PROJECT, Topic.CLASSES)
            self._showing.reload_sources()
        except (SegmixError, EmitLoopError) as error:
            self.close()
            self._refuse(store.path, error)
            return False
        self._runs.attach()
        self._sources.check_files()
        return True


class _Opening:
    """Opens one project at a time in a thread: an older one is migrated first.

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
