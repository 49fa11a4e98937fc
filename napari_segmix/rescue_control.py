"""Help for a project that cannot be opened, and its snapshots."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from segmix_core.errors import SegmixError
from segmix_core.project.packing import UnreadableError
from segmix_core.project.repair import RepairReport, repair
from segmix_core.project.restore import restore
from segmix_core.project.snapshots import Snapshot, list_snapshots
from segmix_core.project.verify import find_faults

if TYPE_CHECKING:
    from napari_segmix.session import Session

Progress = Callable[[int, int], None]
_TOLD_EVERY_MS = 200


@dataclass(frozen=True, slots=True)
class Failure:
    """A project that could not be opened: its folder, and why."""

    path: Path
    message: str


class RescueControl:
    """Checks, repairs and restores projects in threads.

    Attributes
    ----------
    failure
        The project that could not be opened last; None after another was opened.
    result
        What the last check, repair or restoring found, sentences.
    copy
        The project that a repair has written.
    """

    changed = Signal()
    """One of the attributes is another now."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._work: _Work | None = None
        self.failure: Failure | None = None
        self.result = ""
        self.copy: Path | None = None
        session.project_changed.connect(self.forget)

    @property
    def is_working(self) -> bool:
        """Whether a check, repair or restoring is in progress."""
        return self._work is not None

    def note_failure(self, path: Path, error: SegmixError) -> None:
        """Offer help for a project that could not be opened, if any can help."""
        self.forget()
        if _may_help(path, error):
            self.failure = Failure(path, error.message)
            self.changed.emit()

    def check(self) -> None:
        """Look for everything that is wrong with the project that failed."""
        if self.failure is not None:
            path = self.failure.path
            work = partial(find_faults, path)
            self._start(f"Checking {path.name}…", work, self._show_faults)

    def repair(self, target: Path) -> None:
        """Write what can be read of the project that failed to a new one."""
        if self.failure is not None:
            path = self.failure.path
            work = partial(repair, path, target)
            self._start(f"Repairing {path.name}…", work, self._show_repair)

    def restore(self, snapshot: Snapshot) -> None:
        """Make a project what a snapshot of it is; the present state is kept."""
        path = snapshot.path.parents[1]

        def work(_: Progress) -> Path:
            return restore(path, snapshot.name)

        text = f"Restoring {path.name}…"
        self._start(text, work, partial(self._on_restored, path))

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
        self.failure, self.result, self.copy = None, "", None
        self.changed.emit()

    def _start(
        self,
        sentence: str,
        function: Callable[[Progress], Any],
        on_done: Callable[[Any], None],
    ) -> None:
        if self._session.busy:
            return
        session, self.result, self.copy = self._session, "", None
        work = self._work = _Work(sentence, session.show_busy)

        def end() -> None:
            work.end()
            self._work = None

        def done(result: Any) -> None:
            end()
            on_done(result)
            self.changed.emit()

        def failed(error: BaseException) -> None:
            end()
            if isinstance(error, _StoppedError):
                session.say("Stopped.")
            else:
                session.report(error)
            self.changed.emit()

        session.in_background(sentence, partial(function, work.note), done, failed)
        self.changed.emit()

    def _show_faults(self, faults: tuple[str, ...]) -> None:
        self.result = "\n".join(faults) or (
            "No problems found: the database, labels and masks match the journal."
        )

    def _show_repair(self, report: RepairReport) -> None:
        first = (
            f"{report.path.name} contains {report.tiles} tiles, recovered from "
            f"{report.entries} recorded changes."
        )
        lost = report.lost or ("Nothing was lost.",)
        self.result, self.copy = "\n".join([first, *lost]), report.path

    def _on_restored(self, path: Path, kept: Path) -> None:
        session = self._session
        text = (
            f"Restored. The previous state is kept as {kept.parent.name}/{kept.name}."
        )
        if path == session.project_path:
            session.watch.look()
            session.say(text)
        else:
            session.open_in_background(path, partial(session.say, text))


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


def snapshots_of(project: Path | None) -> tuple[Snapshot, ...]:
    """Return the snapshots of a project folder, the newest first; () for None."""
    return () if project is None else list_snapshots(project)


def _may_help(path: Path, error: SegmixError) -> bool:
    is_lost = not (path / "project.sqlite").exists() and bool(list_snapshots(path))
    return isinstance(error, UnreadableError) or is_lost
