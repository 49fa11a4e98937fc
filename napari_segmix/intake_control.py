"""Adding images and importing labels, without blocking the window."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_segmix.sample_project import prepare_sample, sample_folder
from segmix_core.errors import SlideError
from segmix_core.intake import IntakeReport, add_paths
from segmix_core.intake.options import DEFAULT_TILE_PX
from segmix_core.project.importers.report import ImportReport
from segmix_core.project.labels_import import import_labels
from segmix_core.slides.open_slide import open_slide

if TYPE_CHECKING:
    from napari_segmix.session import Session

_MPP_KEY = "intake/slide_mpp"


class IntakeControl:
    """Reads what the user chose in threads, then tells the session."""

    mpp_needed = Signal(tuple, dict)
    """Slides do not say their pixel size: all chosen paths, and the options.

    The answer goes to :meth:`add` as ``slide_mpp``, or ``asks_mpp=False``.
    """

    def __init__(self, session: "Session") -> None:
        self._session = session

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
            tile_px = options.get("tile_px") or DEFAULT_TILE_PX
            self._session.in_background(
                "Looking at the images…",
                partial(slides_without_mpp, chosen, tile_px),
                partial(self._ask_or_add, chosen, options),
            )
            return
        if options.get("slide_mpp") is not None:
            self._session.store.set_setting(_MPP_KEY, options["slide_mpp"])
        known = {source.id for source in self._session.sources}
        self._session.in_background(
            "Reading the images…",
            partial(add_paths, self._session.store, chosen, **options),
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
        session.say(" ".join([f"Added {names}.", *report.notes]))

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
                "This slide is synthetic and its tiles are labelled already: change "
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


def slides_without_mpp(paths: Sequence[Path], tile_px: int) -> tuple[Path, ...]:
    """Return the files that become slides and do not say their µm per pixel.

    Files that cannot be opened are left out: adding them says what is wrong.
    """
    return tuple(path for path in paths if path.is_file() and _lacks_mpp(path, tile_px))


def _lacks_mpp(path: Path, tile_px: int) -> bool:
    try:
        slide = open_slide(path)
    except SlideError:
        return False
    try:
        return slide.mpp is None and max(slide.level_shapes[0]) > 2 * tile_px
    finally:
        slide.close()
