"""The runs of a project as the plugin sees them: launch, follow, stop, come back to.

A run is a process of its own. Closing the project or napari only stops the watching;
opening the project again finds the run and goes on with it.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from napari.qt.threading import GeneratorWorker, create_worker
from psygnal import Signal

from napari_segmix.run_feed import Delivery, follow_run_which_goes_on_without_napari
from napari_segmix.run_info import Job, RunInfo, describe_run, describe_runs
from segmix_core.errors import JobError
from segmix_core.events import Progress
from segmix_core.runs import (
    RunFolder,
    RunRequest,
    RunState,
    find_latest,
    kill,
    launch,
    list_runs,
)
from segmix_core.runs.inputs import find_inputs

if TYPE_CHECKING:
    from segmix_core.project.store import ProjectStore

KILL_AFTER_SECONDS = 10.0
"""How long a run may take to stop by itself before killing it is offered."""


class RunControl:
    """Launches runs one at a time and follows the one that is going on.

    All signals are emitted on the main thread.

    Parameters
    ----------
    launcher
        Starts the process of a run, for instance with another interpreter.
    """

    changed = Signal(object)
    """The followed run, a :class:`RunInfo`, has news; None when there is none."""
    listed = Signal()
    """The list of runs may have changed."""
    events = Signal(list)
    """New events of the followed run; all of them again after :attr:`began`."""
    began = Signal(object)
    """Another run is followed from its first event on; a :class:`RunInfo`."""
    previews = Signal(dict)
    """Newest pictures: content -> (step, arrays)."""
    ended = Signal(object)
    """The followed run ended; a :class:`RunInfo`."""
    kill_offered = Signal()
    """The run was asked to stop long ago and still runs."""
    failed = Signal(object)
    """A chained run could not start; the error."""

    def __init__(self, launcher: Callable[[RunFolder], object] = launch) -> None:
        self._launcher = launcher
        self._store: ProjectStore | None = None
        self._files_changed = False
        self._worker: GeneratorWorker | None = None
        self._folder: RunFolder | None = None
        self._at_work: RunFolder | None = None
        self._waiting: list[Job] = []
        self._is_stopping = False
        self._shows_previews = False
        self._progress: Progress | None = None
        self._reading = 0
        self._seen_alive: set[Path] = set()
        self._patience = KILL_AFTER_SECONDS
        self._offer_at: float | None = None

    @property
    def current(self) -> RunInfo | None:
        """The followed run, also after its end; None before the first."""
        if self._folder is None:
            return None
        return describe_run(self._folder).at(self._progress)

    @property
    def is_running(self) -> bool:
        """Whether a run goes on: the followed one, or one it was left for."""
        return _is_alive(self._folder) or _is_alive(self._at_work)

    @property
    def is_stopping(self) -> bool:
        """Whether the followed run was asked to stop and has not yet done so."""
        return self._is_stopping

    @property
    def is_following(self) -> bool:
        """Whether a thread still reads, for instance until it notices its end."""
        return self._reading > 0

    def attach(self, store: "ProjectStore") -> None:
        """Take over the runs of a project; a live one is followed from its start."""
        self.detach()
        self._store = store
        if chosen := self._alive() or list_runs(store.runs_path):
            self._follow(chosen[-1])
        self.listed.emit()

    def _alive(self) -> list[RunFolder]:
        runs = () if self._store is None else list_runs(self._store.runs_path)
        return [run for run in runs if _is_alive(run)]

    def detach(self) -> None:
        """Forget the project; its run goes on by itself."""
        self._quit_worker()
        self._store = self._folder = self._at_work = None
        self._files_changed = False
        self._waiting.clear()
        self.changed.emit(None)
        self.listed.emit()

    def runs(self) -> tuple[RunInfo, ...]:
        """Return all runs of the project, newest first."""
        if self._store is None:
            return ()
        return describe_runs(self._store, files_changed=self._files_changed)

    def mark_changed_files(self, files_changed: bool) -> None:
        """Say whether files of images are others now than when they were added."""
        self._files_changed = files_changed
        self.listed.emit()

    def latest(self, stage: str) -> RunInfo | None:
        """Return the newest completed run of a stage, or None."""
        if self._store is None:
            return None
        folder = find_latest(self._store.runs_path, stage)
        return None if folder is None else describe_run(folder)

    def start(self, *jobs: Job) -> None:
        """Launch the first job; each of the others when the one before completed.

        Raises
        ------
        JobError
            If no project is open, a run is going on, an input is missing, or the
            process cannot be started.
        """
        self._check_free()
        first, *rest = jobs
        self._launch(first)
        self._waiting = rest

    def resume(self, path: Path) -> None:
        """Let a run that was interrupted, stopped or failed go on from its checkpoint.

        Raises
        ------
        JobError
            If another run is going on or the process cannot be started.
        """
        self._check_free()
        folder = RunFolder(path)
        self._launcher(folder)
        self._waiting.clear()
        self._at_work = folder
        self._follow(folder)

    def watch(self, path: Path) -> None:
        """Follow another run of the list, live or ended, and show its pictures."""
        self._follow(RunFolder(path))
        self._shows_previews = True

    def tell_again(self) -> None:
        """Follow the run from its first event again, for a page that is new."""
        if self._folder is not None:
            self._follow(self._folder)

    def stop(self) -> None:
        """Ask the run to stop within a step; killing is offered if it does not."""
        self._waiting.clear()
        if self._folder is None or not _is_alive(self._folder):
            return
        self._folder.request_stop()
        self._is_stopping = True
        self._offer_at = time.monotonic() + self._patience
        self._tell()

    def kill(self) -> None:
        """End the run's process; what came after its last checkpoint is lost.

        Raises
        ------
        JobError
            If the run is on another machine or not ours.
        """
        self._waiting.clear()
        if self._folder is not None:
            # The worker sees the death; a grace period would block the window.
            kill(self._folder, grace_seconds=0.2)

    def is_news(self, info: RunInfo) -> bool:
        """Whether the run was seen alive in this window, so that its end is news."""
        return info.path in self._seen_alive

    def _check_free(self) -> None:
        # Another window or the command line may have started one, too.
        if self._alive():
            raise JobError(
                "A run is already in progress.", "Stop it, or wait for it to finish."
            )

    def _launch(self, job: Job) -> None:
        if self._store is None:
            raise JobError(
                "No project is open.",
                "Open or create a project first.",
            )
        request = RunRequest(
            stage=job.stage,
            project=self._store.path,
            config=job.config.model_dump(mode="json"),
            inputs=job.inputs
            or find_inputs(
                self._store.runs_path,
                job.stage,
                has_corrections=bool(self._store.corrected_images()),
            ),
            options=job.options,
            revision=self._store.revision,
        )
        folder = RunFolder.create(self._store.runs_path, request)
        self._launcher(folder)
        self._at_work = folder
        self._follow(folder)
        self.listed.emit()

    def _follow(self, folder: RunFolder) -> None:
        self._quit_worker()
        self._folder = folder
        self._shows_previews = _is_alive(folder)
        if self._shows_previews:
            self._seen_alive.add(folder.path)
            if not _is_alive(self._at_work):
                self._at_work = folder
        self._progress = None
        self.began.emit(describe_run(folder))
        self._read(folder)
        self._tell()

    def _read(self, folder: RunFolder) -> None:
        worker = create_worker(follow_run_which_goes_on_without_napari, folder)
        if folder == self._folder:
            worker.yielded.connect(lambda news: self._on_news(worker, news))
        worker.finished.connect(lambda: self._on_finished(worker, folder))
        self._worker = worker
        self._reading += 1
        worker.start()

    def _quit_worker(self) -> None:
        worker, self._worker = self._worker, None
        self._is_stopping, self._offer_at = False, None
        if worker is not None:
            worker.quit()

    def _on_news(self, worker: GeneratorWorker, news: Delivery) -> None:
        # A worker that was told to quit may have a delivery under way.
        if worker is not self._worker:
            return
        # Deliveries come by the clock, also without news.
        if self._offer_at is not None and time.monotonic() > self._offer_at:
            self._offer_at = None
            self.kill_offered.emit()
        if news.events:
            steps = [event for event in news.events if isinstance(event, Progress)]
            self._progress = steps[-1] if steps else self._progress
            self.events.emit(news.events)
            self._tell()
        if news.previews and self._shows_previews:
            self.previews.emit(news.previews)

    def _on_finished(self, worker: GeneratorWorker, folder: RunFolder) -> None:
        self._reading -= 1
        if worker is not self._worker:
            return
        self._quit_worker()
        if _is_alive(folder):
            return  # napari ends all threads when its window is closed.
        info = describe_run(folder)
        self.changed.emit(self.current)
        self.listed.emit()
        self.ended.emit(info)
        # A dock that is opened later is told of the run again, not of its end.
        self._seen_alive.discard(folder.path)
        if self._worker is not None or self._at_work is None:
            return
        if folder != self._at_work:
            # It was left to look at this one: its end is still to be heard.
            self._read(self._at_work)
            return
        self._at_work = None
        self._start_next(info)

    def _start_next(self, info: RunInfo) -> None:
        if info.state is not RunState.COMPLETED:
            self._waiting.clear()
        if not self._waiting:
            return
        job = self._waiting.pop(0)
        try:
            self._launch(job)
        except JobError as error:
            self._waiting.clear()
            self.failed.emit(error)

    def _tell(self) -> None:
        self.changed.emit(self.current)


def _is_alive(folder: RunFolder | None) -> bool:
    return folder is not None and folder.state() is RunState.RUNNING
