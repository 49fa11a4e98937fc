"""Adding images and importing labels, without blocking the window."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_segmix.sample_project import prepare_sample, sample_folder
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
    from napari_segmix.session import Session
    from segmix_core.project.store import ProjectStore

_MPP_KEY = "intake/slide_mpp"


class IntakeControl:
    """Reads what the user chose in threads, then tells the session."""

    mpp_needed = Signal(tuple, dict)
    """Slides do not say their pixel size: all chosen paths, and the options.

    The answer goes to :meth:`add` as ``slide_mpp``, or ``asks_mpp=False``.
    """

    files_checked = Signal()
    """:attr:`changed` is up to date."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._look: RememberingLook | None = None
        self.changed: tuple[ImageRecord, ...] = ()
        """Images whose files are others now than when they were added."""

    def add(
        self, paths: Sequence[Path], *, asks_mpp: bool = True, **options: Any
    ) -> None:
        """Add slides and folders; the first new one is shown.

        ``options`` are those of :func:`segmix_core.intake.add_paths`. Unless
        ``asks_mpp`` is False or ``slide_mpp`` is given, slides that do not say their
        pixel size make :attr:`mpp_needed` speak before anything is added.
        """
        if self._session.store is None:
            self._session.say("Create or open a project first.", "warning")
            return
        chosen = tuple(Path(path) for path in paths)
        if asks_mpp and options.get("slide_mpp") is None:
            # Kept for what is added then, so that no file is opened twice.
            self._look = RememberingLook(self._session.looks.borrow)
            self._session.in_background(
                "Looking at the images…",
                partial(slides_without_mpp, self._look, chosen, options.get("tile_px")),
                partial(self._ask_or_add, chosen, options),
            )
            return
        look = self._look or RememberingLook(self._session.looks.borrow)
        self._look = None
        known = {source.id for source in self._session.sources}
        self._session.in_background(
            "Reading the images…",
            partial(
                _add_and_remember,
                self._session.store,
                chosen,
                look=look,
                **options,
            ),
            partial(self._added, known),
        )

    @property
    def last_mpp(self) -> float | None:
        """µm per pixel that was given last time, for the next question."""
        store = self._session.store
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
        session = self._session
        session.sources_are_new()
        new = [source.id for source in session.sources if source.id not in known]
        shown = session.active_source
        if new and (shown is None or shown.id != new[0]):
            session.show_source(new[0])
        if new and session.tissue.is_possible:
            # What was left out as glass should be seen before tiles are labeled.
            session.tissue.show(True)
        names = ", ".join(source.name for source in report.sources)
        level = "warning" if report.left_out else "info"
        session.say(" ".join([f"Added {names}.", *report.notes]), level)

    def set_mpp(self, source_id: int, mpp: float) -> None:
        """Set the µm per pixel of a source; its tiles stay as they were cut."""
        store = self._session.require()
        ids = np.array([image.id for image in store.images(source_id)], np.int64)
        try:
            change = store.set_mpp(ids, mpp)
        except SegmixError as error:
            self._session.report(error)
            return
        if change is not None:
            self._session.sources_are_new()
            self._session.say(
                f"{change.description}. Sizes and scale bars are updated; tiles and "
                "masks do not change."
            )

    def pixel_size(self, source_id: int) -> tuple[float, float] | None:
        """Return µm per pixel (y, x) of a source; None if unknown or not one size."""
        sizes = self._session.require().pixel_sizes(source_id)
        return sizes[0] if len(sizes) == 1 else None

    def check_files(self) -> None:
        """Look, in a thread, for images whose files changed; warns of them."""
        images = self._session.require().images()
        self._session.executor.submit(
            partial(find_changed, images),
            on_done=self._checked,
            on_error=self._session.report,
        )

    def _checked(self, changed: tuple[ImageRecord, ...]) -> None:
        self.changed = changed
        self._session.runs.mark_changed_files(bool(changed))
        self.files_checked.emit()
        if changed:
            self._session.say(changed_note(changed), "warning")

    def accept_files(self, source_id: int) -> None:
        """Take the changed files of a source for the right ones, if they can be used.

        They are looked at in a thread first, as files that are added are.
        """
        mine = [image for image in self.changed if image.source_id == source_id]
        self._session.in_background(
            "Looking at the changed files…",
            partial(self._session.opener.look_at, mine),
            partial(self._accept, source_id, mine),
        )

    def _accept(
        self,
        source_id: int,
        images: Sequence[ImageRecord],
        answers: Sequence[ImageHeader | SlideError],
    ) -> None:
        session = self._session
        headers = [found for found in answers if isinstance(found, ImageHeader)]
        errors = [found for found in answers if isinstance(found, SlideError)]
        try:
            if errors:
                raise errors[0]
            ids = np.array([image.id for image in images], np.int64)
            session.require().accept_files(ids)
        except SegmixError as error:
            session.report(error)
            return
        session.show_source(source_id)
        session.history_changed.emit()
        self.check_files()
        notes = restated_note(zip(images, headers, strict=True))
        if notes:
            session.say(" ".join(notes), "warning")

    def open_sample(self) -> None:
        """Open the sample project; its slide is drawn the first time."""
        self._session.in_background(
            "Drawing the sample slide, once. This takes some seconds…",
            partial(prepare_sample, sample_folder()),
            self._open_sample,
        )

    def _open_sample(self, project: Path) -> None:
        if self._session.open_project(project):
            self._session.say(
                "This slide is synthetic and its tiles are already labeled: change "
                "labels on the Label page, or go to Train."
            )

    def import_labels(self, path: Path, **options: Any) -> None:
        """Import labels; options as in :mod:`segmix_core.project.importers`."""
        if self._session.store is None:
            self._session.say("Create or open a project first.", "warning")
            return
        self._session.in_background(
            "Importing labels…",
            partial(import_labels, self._session.store, path, **options),
            self._imported,
        )

    def _imported(self, report: ImportReport) -> None:
        self._session.sources_are_new()
        text = f"Imported {report.labels} labels of {report.tiles} tiles."
        self._session.say(" ".join([text, *report.notes]))


def _add_and_remember(
    store: "ProjectStore", paths: Sequence[Path], **options: Any
) -> IntakeReport:
    """Add what was chosen; a pixel size that was given is proposed next time."""
    if options.get("slide_mpp") is not None:
        store.set_setting(_MPP_KEY, options["slide_mpp"])
    return add_paths(store, paths, **options)
