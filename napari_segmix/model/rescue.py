"""A project that cannot be opened, and what came of helping it."""

from dataclasses import dataclass
from pathlib import Path

from napari_segmix.model.changes import Changes, Topic
from segmix_core.project.snapshots import Snapshot, list_snapshots


@dataclass(frozen=True, slots=True)
class Failure:
    """A project that could not be opened: its folder, and why."""

    path: Path
    message: str


@dataclass(frozen=True, slots=True)
class Rescue:
    """How far helping is.

    Attributes
    ----------
    failure
        The project that could not be opened last; None after another was opened.
    result
        What the last check, repair or restore found, sentences.
    copy
        The project that a repair has written.
    is_working
        Whether a check, repair or restore is in progress.
    """

    failure: Failure | None = None
    result: str = ""
    copy: Path | None = None
    is_working: bool = False


class RescueState:
    """The present :class:`Rescue`.

    Attributes
    ----------
    now
        How far helping is.
    """

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self.now = Rescue()

    def take(self, now: Rescue) -> None:
        """Show another state."""
        if now != self.now:
            self.now = now
            self._changes.note(Topic.RESCUE)


def snapshots_of(project: Path | None) -> tuple[Snapshot, ...]:
    """Return the snapshots of a project folder, the newest first; () for None."""
    return () if project is None else list_snapshots(project)
