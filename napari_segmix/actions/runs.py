"""Launching, following and stopping the runs of a project.

A run is a process of its own. Closing the project or napari only stops the watching;
opening the project again finds the run and goes on with it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from napari.qt.threading import GeneratorWorker, create_worker
from psygnal import Signal

from napari_segmix.model.model import Model
from napari_segmix.model.run_info import (
    Job,
    RunInfo,
    describe_damaged,
    describe_run,
    stage_title,
)
from napari_segmix.model.runs import Pictures
from segmix_core.errors import JobError
from segmix_core.events import Event, PreviewWritten, Progress, SettingFitted, Warned
from segmix_core.runs import (
    RunFolder,
    RunRequest,
    RunState,
    follow,
    kill,
    load_preview,
    scan_runs,
)
from segmix_core.runs.inputs import find_inputs

KILL_AFTER_SECONDS = 10.0
"""How long a run may take to stop by itself before killing it is offered."""
SECONDS_BETWEEN = 0.1
"""Least time between two deliveries: more would only keep the window busy."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """News of a run: its events and, by content, the newest picture and its step."""

    events: list[Event] = field(default_factory=list)
    previews: Pictures = field(default_factory=dict)


class RunActions:
    """Launches runs one at a time and follows the one that is going on.

    All signals are emitted on the main thread.

    Parameters
    ----------
    model
        Its runs are changed.
    launcher
        Starts the process of a run, for instance with another interpreter.
    """

    previews = Signal(dict)
    """Newest pictures: content -> (step, arrays)."""
    ended = Signal(object)
    """The followed run ended; a :class:`RunInfo`."""

    def __init__(self, model: Model, launcher: Callable[[RunFolder], object]) -> None:
        self._runs = model.runs
        self._project = model.project
        self._notices = model.notices
        self._launcher = launcher
        self._worker: GeneratorWorker | None = None
        self._folder: RunFolder | None = None
        self._at_work: RunFolder | None = None
        self._waiting: list[Job] = []
        self._shows_previews = False
        self._progress: Progress | None = None
        self._reading = 0
        self._seen_alive: set[Path] = set()
        self._patience = KILL_AFTER_SECONDS
        self._offer_at: float | None = None

    @property
    def is_following(self) -> bool:
        """Whether a thread still reads, for instance until it notices its end."""
        return self._reading > 0

    def refresh(self) -> None:
        """Look at the folders of all runs."""
        store = self._project.store
        if store is None:
            self._runs.take_list(())
            return
        scan = scan_runs(store.runs_path)
        found = [describe_run(folder) for folder in reversed(scan.runs)]
        self._runs.take_list((*found, *map(describe_damaged, scan.damaged)))

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

    def stop(self) -> None:
        """Ask the run to stop within a step; killing is offered if it does not."""
        self._waiting.clear()
        if self._folder is None or not _is_alive(self._folder):
            return
        self._folder.request_stop()
        self._runs.ask_to_stop()
        self._offer_at = time.monotonic() + self._patience
        self._note_progress()

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

    def detach(self) -> None:
        """Forget the project; its run continues."""
        self._quit_worker()
        self._folder = self._at_work = None
        self._waiting.clear()
        self._runs.follow(None)
        self._runs.take_list(())
        self._note_progress()

    def attach(self) -> None:
        """Take over the runs of the project; a live one is followed from its start."""
        self.detach()
        self.refresh()
        runs = [run for run in self._runs.infos if not run.is_damaged]
        chosen = [run for run in runs if run.is_running] or runs
        if chosen:
            self._follow(RunFolder(chosen[0].path))

    def _check_free(self) -> None:
        # Another window or the command line may have started one, too.
        self.refresh()
        if any(run.is_running for run in self._runs.infos):
            raise JobError(
                "A run is already in progress.", "Stop it, or wait for it to finish."
            )

    def _launch(self, job: Job) -> None:
        store = self._project.store
        if store is None:
            raise JobError(
                "No project is open.",
                "Open or create a project first.",
            )
        request = RunRequest(
            stage=job.stage,
            project=store.path,
            config=job.config.model_dump(mode="json"),
            inputs=job.inputs
            or find_inputs(
                store.runs_path,
                job.stage,
                has_corrections=bool(store.corrected_images()),
            ),
            options=job.options,
            revision=store.revision,
        )
        folder = RunFolder.create(store.runs_path, request)
        self._launcher(folder)
        self._at_work = folder
        self._follow(folder)

    # ---- following ----------------------------------------------------------------

    def _follow(self, folder: RunFolder) -> None:
        self._quit_worker()
        self._folder = folder
        self._shows_previews = _is_alive(folder)
        if self._shows_previews:
            self._seen_alive.add(folder.path)
            if not _is_alive(self._at_work):
                self._at_work = folder
        self._progress = None
        self.refresh()
        self._runs.follow(describe_run(folder))
        self._read(folder)
        self._note_progress()

    def _read(self, folder: RunFolder) -> None:
        worker = create_worker(follow_run, folder)
        if folder == self._folder:
            worker.yielded.connect(lambda news: self._on_news(worker, news))
        worker.finished.connect(lambda: self._on_finished(worker, folder))
        self._worker = worker
        self._reading += 1
        worker.start()

    def _quit_worker(self) -> None:
        worker, self._worker = self._worker, None
        self._offer_at = None
        if worker is not None:
            worker.quit()

    def _on_news(self, worker: GeneratorWorker, news: Delivery) -> None:
        # A worker that was told to quit may have a delivery under way.
        if worker is not self._worker:
            return
        # Deliveries come by the clock, also without news.
        if self._offer_at is not None and time.monotonic() > self._offer_at:
            self._offer_at = None
            self._runs.offer_kill()
            text = "The run does not stop by itself; you may kill it."
            self._notices.say(text, "warning")
        if news.events:
            steps = [event for event in news.events if isinstance(event, Progress)]
            self._progress = steps[-1] if steps else self._progress
            self._runs.curves.add_events(news.events)
            self._note_progress()
            self._say_warnings(news.events)
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
        self._note_progress()
        self.refresh()
        self._say_end(info)
        self.ended.emit(info)
        # A run that is looked at again is not news any more.
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
            self._notices.report(error)

    def _note_progress(self) -> None:
        info = None
        if self._folder is not None:
            info = describe_run(self._folder).at(self._progress)
        is_running = _is_alive(self._folder) or _is_alive(self._at_work)
        self._runs.take_progress(info, is_running=is_running)

    # ---- what is said -------------------------------------------------------------

    def _say_end(self, info: RunInfo) -> None:
        # Only of a run that was seen alive in this window is the end news.
        if info.path not in self._seen_alive:
            return
        name = stage_title(info.stage)
        if info.state is RunState.COMPLETED:
            self._notices.say(f"{name}: completed.")
        elif info.state is RunState.CANCELED:
            self._notices.say(f"{name}: stopped. Resume it on the Train page.")
        elif info.state is RunState.INTERRUPTED:
            # Its last message is of the step it was at.
            text = "the process crashed. Resume it on the Train page."
            self._notices.say(f"{name}: {text}", "error")
        else:
            self._notices.say(f"{name}: {info.state}. {info.message}", "error")

    def _say_warnings(self, events: list[Event]) -> None:
        if self._folder is None or self._folder.path not in self._seen_alive:
            return
        for event in events:
            if isinstance(event, Warned):
                self._notices.say(event.message, "warning")
            elif isinstance(event, SettingFitted):
                self._notices.say(f"{event.message}.")


def follow_run(folder: RunFolder) -> Iterator[Delivery]:
    """Yield the news of a run at most every ``SECONDS_BETWEEN`` until it ends.

    It reads, sleeps and yields, in a thread. Empty deliveries come too, so that the
    thread can be told to quit.
    """
    waiting: list[Event] = []
    due = time.monotonic()
    for events in follow(folder, poll_seconds=SECONDS_BETWEEN):
        waiting += events
        if time.monotonic() >= due:
            yield _delivery(folder, waiting)
            waiting, due = [], time.monotonic() + SECONDS_BETWEEN
    yield _delivery(folder, waiting)


def _delivery(folder: RunFolder, events: list[Event]) -> Delivery:
    newest = {e.content: e for e in events if isinstance(e, PreviewWritten)}
    previews = {}
    for content, event in newest.items():
        try:
            path = folder.previews_path / Path(event.path).name
            previews[content] = event.step, load_preview(path)
        except JobError:
            # Only the newest stay on disk; the history names the others as well.
            continue
    return Delivery(events, previews)


def _is_alive(folder: RunFolder | None) -> bool:
    return folder is not None and folder.state() is RunState.RUNNING
