"""The runs of the project: one list and one followed run, for whoever shows them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segmix.model.changes import Changes, Topic
from napari_segmix.model.curves import RunCurves
from napari_segmix.model.run_info import RunInfo
from segmix_core.runs import RunFolder, RunState
from segmix_core.runs.outdated import outdated_requests
from segmix_core.stage_registry import TRAINING_STAGES

if TYPE_CHECKING:
    from napari_segmix.model.project import ProjectState

Pictures = dict[str, tuple[int, dict[str, Any]]]
"""Content -> step and arrays."""


class RunsState:
    """What is known of the runs, from the last look at their folders.

    Attributes
    ----------
    infos
        All runs, newest first; after them what is damaged.
    followed
        The run that is followed, also after its end; None before the first.
    is_running
        Whether a run is at work: the followed one, or one it was left for.
    is_stopping
        Whether the followed run was asked to stop and has not yet done so.
    may_kill
        Whether it was asked long ago.
    learning
        The run that :attr:`curves` are of; None without one.
    curves
        Its numbers. They stay while masks are made of it.
    pictures
        The newest pictures of the followed run.
    outlines_moved_patches
        Whether patches that came from another tile are framed.
    """

    def __init__(self, changes: Changes, project: "ProjectState") -> None:
        self._changes = changes
        self._project = project
        self.infos: tuple[RunInfo, ...] = ()
        self.followed: RunInfo | None = None
        self.is_running = self.is_stopping = self.may_kill = False
        self.learning: RunInfo | None = None
        self.curves = RunCurves()
        self.pictures: Pictures = {}
        self.outlines_moved_patches = False

    def latest(self, stage: str) -> RunInfo | None:
        """Return the newest completed run of a stage, or None."""
        return next(
            (
                run
                for run in self.infos
                if run.stage == stage and run.state is RunState.COMPLETED
            ),
            None,
        )

    def outdated(self) -> frozenset[Path]:
        """Return the folders of runs whose labels, images or runs changed since.

        Reads no file: what was asked of the runs is known, and what has changed.
        """
        project = self._project
        found = outdated_requests(
            {RunFolder(run.path): run.request for run in self.infos if run.request},
            project.last_changes,
            files_changed=bool(project.changed_files),
            revision=project.revision,
        )
        return frozenset(run.path for run in found)

    def take_list(self, infos: tuple[RunInfo, ...]) -> None:
        """Take what a look at all folders found."""
        self.infos = infos
        self._changes.note(Topic.RUNS)

    def follow(self, info: RunInfo | None) -> None:
        """Take another run that is followed, from its first event on."""
        self.followed = info
        self.is_stopping = self.may_kill = False
        self.pictures = {}
        if info is None or info.stage in TRAINING_STAGES:
            self.learning = info
            self.curves.clear()
        self._changes.note(Topic.FOLLOWED)

    def take_progress(self, info: RunInfo | None, *, is_running: bool) -> None:
        """Take news of the followed run."""
        self.followed, self.is_running = info, is_running
        if info is None or not info.is_running:
            self.is_stopping = self.may_kill = False
        else:
            self.infos = tuple(
                info if run.path == info.path else run for run in self.infos
            )
        self._changes.note(Topic.PROGRESS)

    def ask_to_stop(self) -> None:
        """Note that the followed run was asked to stop."""
        self.is_stopping = True

    def offer_kill(self) -> None:
        """Note that the followed run does not stop by itself."""
        self.may_kill = True
        self._changes.note(Topic.PROGRESS)
