"""Help for a project that cannot be opened, and its snapshots."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer

from napari_segmix.actions.background import Background
from napari_segmix.model.changes import Topic
from napari_segmix.model.model import Model
from napari_segmix.model.rescue import Failure, Rescue
from segmix_core.errors import SegmixError
from segmix_core.project.packing import UnreadableError
from segmix_core.project.repair import RepairReport, repair
from segmix_core.project.restore import restore
from segmix_core.project.snapshots import Snapshot, list_snapshots
from segmix_core.project.verify import find_faults

Progress = Callable[[int, int], None]
_TOLD_EVERY_MS = 200


class RescueActions:
    """Checks, repairs and restores projects in threads.

    Parameters
    ----------
    model
        Its rescue is changed.
    background
        Runs the threads.

    Attributes
    ----------
    on_restored
        Called with the folder of a project that was restored, and what to say of it.
    """

    on_restored: Callable[[Path, str], None]

    def __init__(self, model: Model, background: Background) -> None:
        self._state = model.rescue
        self._notices = model.notices
        self._background = background
        self._work: _Work | None = None
        model.changes.happened.connect(self._on_change)

    def note_failure(self, path: Path, error: SegmixError) -> None:
        """Offer help for a project that could not be opened, if any can help."""
        self.forget()
        if _may_help(path, error):
            self._state.take(Rescue(Failure(path, error.message)))

    def check(self) -> None:
        """Look for everything that is wrong with the project that failed."""
        failure = self._state.now.failure
        if failure is not None:
            path = failure.path
            work = partial(find_faults, path)
            self._start(f"Checking {path.name}…", work, _as_news)

    def repair(self, target: Path) -> None:
        """Write what can be read of the project that failed to a new one."""
        failure = self._state.now.failure
        if failure is not None:
            path = failure.path
            work = partial(repair, path, target)
            self._start(f"Repairing {path.name}…", work, _as_repaired)

    def restore(self, snapshot: Snapshot) -> None:
        """Make a project what a snapshot of it is; the present state is kept."""
        path = snapshot.path.parents[1]

        def work(_: Progress) -> Path:
            return restore(path, snapshot.name)

        text = f"Restoring {path.name}…"
        self._start(text, work, partial(self._show_restored, path))

    def stop(self) -> None:
        """Stop a check or repair; a restoring is done at once or not at all."""
        if self._work is not None:
            self._work.is_wanted = False

    def forget(self) -> None:
        """Offer no help any more; what is in progress is stopped and not told."""
        if self._work is not None:
            self.stop()
            self._work.end()
            self._work = None
        self._state.take(Rescue())

    def _start(
        self,
        sentence: str,
        function: Callable[[Progress], Any],
        on_done: Callable[[Any], dict[str, Any] | None],
    ) -> None:
        """Run a function; ``on_done`` turns its result into what is new."""
        state, notices = self._state, self._notices
        if notices.busy:
            return
        work = self._work = _Work(sentence, notices.show_busy)

        def end(**news: Any) -> None:
            work.end()
            self._work = None
            state.take(replace(state.now, is_working=False, **news))

        def done(result: Any) -> None:
            end(**(on_done(result) or {}))

        def failed(error: BaseException) -> None:
            if isinstance(error, _StoppedError):
                notices.say("Stopped.")
            else:
                notices.report(error)
            end()

        state.take(replace(state.now, result="", copy=None, is_working=True))
        self._background.run(sentence, partial(function, work.note), done, failed)

    def _show_restored(self, path: Path, kept: Path) -> None:
        self.on_restored(
            path,
            f"Restored. The previous state is kept as {kept.parent.name}/{kept.name}.",
        )

    def _on_change(self, topics: frozenset[Topic]) -> None:
        if Topic.PROJECT in topics:
            self.forget()


def _as_news(faults: tuple[str, ...]) -> dict[str, Any]:
    fine = "No problems found: the database, labels and masks match the journal."
    return {"result": "\n".join(faults) or fine}


def _as_repaired(report: RepairReport) -> dict[str, Any]:
    first = (
        f"{report.path.name} contains {report.tiles} tiles, recovered from "
        f"{report.entries} recorded changes."
    )
    lost = report.lost or ("Nothing was lost.",)
    return {"result": "\n".join([first, *lost]), "copy": report.path}


class _Work:
    """A function in a thread that tells how far it is; the window asks for it."""

    def __init__(self, sentence: str, show: Callable[[str], None]) -> None:
        self.is_wanted = True
        self._sentence, self._show = sentence, show
        self._steps = 0, 0
        self._timer = QTimer()
        self._timer.setInterval(_TOLD_EVERY_MS)
        self._timer.timeout.connect(self._tell)
        self._timer.start()

    def note(self, done: int, total: int) -> None:
        """Note progress, in the thread; raises if nobody wants the result."""
        if not self.is_wanted:
            raise _StoppedError
        self._steps = done, total

    def _tell(self) -> None:
        done, total = self._steps
        if total:
            self._show(f"{self._sentence} {100 * done // total} %")

    def end(self) -> None:
        """Tell no more."""
        self._timer.stop()


class _StoppedError(Exception):
    """The user has stopped the work."""


def _may_help(path: Path, error: SegmixError) -> bool:
    is_lost = not (path / "project.sqlite").exists() and bool(list_snapshots(path))
    return isinstance(error, UnreadableError) or is_lost
