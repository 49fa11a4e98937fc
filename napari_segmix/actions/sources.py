"""Adding images and importing labels, without blocking the window."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_segmix.actions.background import Background
from napari_segmix.actions.sample_project import prepare_sample, sample_folder
from napari_segmix.actions.showing import Showing
from napari_segmix.actions.tissue import TissueActions
from napari_segmix.model.model import Model
from segmix_core.errors import SegmixError, SlideError
from segmix_core.intake import IntakeReport, add_paths
from segmix_core.intake.pixel_size import restated_note
from segmix_core.intake.question import slides_without_mpp
from segmix_core.project.changed_files import changed_note, find_changed
from segmix_core.project.importers.report import ImportReport
from segmix_core.project.labels_import import import_labels
from segmix_core.project.records import ImageRecord
from segmix_core.slides.first_look import ImageHeader, RememberingLook

if TYPE_CHECKING:
    from segmix_core.project.store import ProjectStore

_MPP_KEY = "intake/slide_mpp"


class SourceActions:
    """Reads what the user chose in threads, then shows it.

    Parameters
    ----------
    model
        Its project is changed.
    background
        Runs the threads.
    showing, tissue
        What shows new sources.

    Attributes
    ----------
    open_project
        Opens the sample when it is drawn.
    """

    open_project: Callable[[Path], bool]

    mpp_needed = Signal(tuple, dict)
    """Slides do not say their pixel size: all chosen paths, and the options.

    The answer goes to :meth:`add` as ``slide_mpp``, or ``asks_mpp=False``.
    """

    def __init__(
        self,
        model: Model,
        background: Background,
        showing: Showing,
        tissue: TissueActions,
    ) -> None:
        self._project = model.project
        self._notices = model.notices
        self._background = background
        self._showing = showing
        self._tissue = tissue
        self._look: RememberingLook | None = None

    def show(self, source_id: int) -> None:
        """Show a source instead of the one shown now."""
        self._showing.show_source(source_id)

    def add(
        self, paths: Sequence[Path], *, asks_mpp: bool = True, **options: Any
    ) -> None:
        """Add slides and folders; the first new one is shown.

        ``options`` are those of :func:`segmix_core.intake.add_paths`. Unless
        ``asks_mpp`` is False or ``slide_mpp`` is given, slides that do not say their
        pixel size make :attr:`mpp_needed` speak before anything is added.
        """
        if self._project.store is None:
            self._notices.say("Create or open a project first.", "warning")
            return
        chosen = tuple(Path(path) for path in paths)
        if asks_mpp and options.get("slide_mpp") is None:
            # Kept for what is added then, so that no file is opened twice.
            self._look = RememberingLook(self._background.looks.borrow)
            self._background.run(
                "Looking at the images…",
                partial(slides_without_mpp, self._look, chosen, options.get("tile_px")),
                partial(self._ask_or_add, chosen, options),
            )
            return
        look = self._look or RememberingLook(self._background.looks.borrow)
        self._look = None
        known = {source.id for source in self._project.sources}
        self._background.run(
            "Reading the images…",
            partial(
                _add_and_remember,
                self._project.store,
                chosen,
                look=look,
                **options,
            ),
            partial(self._added, known),
        )

    @property
    def last_mpp(self) -> float | None:
        """µm per pixel that was given last time, for the next question."""
        store = self._project.store
        value = None if store is None else store.setting(_MPP_KEY)
        return None if value is None else float(value)

    def _ask_or_add(
        self, paths: tuple[Path, ...], options: dict[str, Any], missing: Sequence[Path]
    ) -> None:
        if missing:
            self.mpp_needed.emit(paths, options)
        else:
            self.add(paths, asks_mpp=False, **options)

    def _added(self, known: set[int], report: IntakeReport) -> None:
        project = self._project
        self._showing.reload_sources()
        new = [source.id for source in project.sources if source.id not in known]
        shown = project.active_source
        if new and (shown is None or shown.id != new[0]):
            self._showing.show_source(new[0])
        if new and project.shows_slide:
            # What was left out as glass should be seen before tiles are labeled.
            self._tissue.show(True)
        names = ", ".join(source.name for source in report.sources)
        level = "warning" if report.left_out else "info"
        self._notices.say(" ".join([f"Added {names}.", *report.notes]), level)

    def set_mpp(self, source_id: int, mpp: float) -> None:
        """Set the µm per pixel of a source; its tiles stay as they were cut."""
        store = self._project.require()
        ids = np.array([image.id for image in store.images(source_id)], np.int64)
        try:
            change = store.set_mpp(ids, mpp)
        except SegmixError as error:
            self._notices.report(error)
            return
        if change is not None:
            self._showing.reload_sources()
            self._notices.say(
                f"{change.description}. Sizes and scale bars are updated; tiles and "
                "masks do not change."
            )

    def check_files(self) -> None:
        """Look, in a thread, for images whose files changed; warns of them."""
        images = self._project.require().images()
        self._background.executor.submit(
            partial(find_changed, images),
            on_done=self._checked,
            on_error=self._notices.report,
        )

    def _checked(self, changed: tuple[ImageRecord, ...]) -> None:
        self._project.note_files(changed)
        if changed:
            self._notices.say(changed_note(changed), "warning")

    def accept_files(self, source_id: int) -> None:
        """Take the changed files of a source for the right ones, if they can be used.

        They are looked at in a thread first, as files that are added are.
        """
        changed = self._project.changed_files
        mine = [image for image in changed if image.source_id == source_id]
        self._background.run(
            "Looking at the changed files…",
            partial(self._background.opener.look_at, mine),
            partial(self._accept, source_id, mine),
        )

    def _accept(
        self,
        source_id: int,
        images: Sequence[ImageRecord],
        answers: Sequence[ImageHeader | SlideError],
    ) -> None:
        headers = [found for found in answers if isinstance(found, ImageHeader)]
        errors = [found for found in answers if isinstance(found, SlideError)]
        try:
            if errors:
                raise errors[0]
            ids = np.array([image.id for image in images], np.int64)
            self._project.require().accept_files(ids)
        except SegmixError as error:
            self._notices.report(error)
            return
        self._showing.show_anew(source_id)
        self.check_files()
        notes = restated_note(zip(images, headers, strict=True))
        if notes:
            self._notices.say(" ".join(notes), "warning")

    def open_sample(self) -> None:
        """Open the sample project; its slide is drawn the first time."""
        self._background.run(
            "Drawing the sample slide, once. This takes some seconds…",
            partial(prepare_sample, sample_folder()),
            self._open_sample,
        )

    def _open_sample(self, project: Path) -> None:
        if self.open_project(project):
            self._notices.say(
                "This slide is synthetic and its tiles are already labeled: change "
                "labels on the Label page, or go to Train."
            )

    def import_labels(self, path: Path, **options: Any) -> None:
        """Import labels; options as in :mod:`segmix_core.project.importers`."""
        if self._project.store is None:
            self._notices.say("Create or open a project first.", "warning")
            return
        self._background.run(
            "Importing labels…",
            partial(import_labels, self._project.store, path, **options),
            self._imported,
        )

    def _imported(self, report: ImportReport) -> None:
        self._showing.reload_sources()
        text = f"Imported {report.labels} labels of {report.tiles} tiles."
        self._notices.say(" ".join([text, *report.notes]))


def _add_and_remember(
    store: "ProjectStore", paths: Sequence[Path], **options: Any
) -> IntakeReport:
    """Add what was chosen; a pixel size that was given is proposed next time."""
    if options.get("slide_mpp") is not None:
        store.set_setting(_MPP_KEY, options["slide_mpp"])
    return add_paths(store, paths, **options)
