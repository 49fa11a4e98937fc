"""Seeing and correcting where a slide has tissue, without blocking the window.

Each stroke is written at once, in a thread, and the slide's tiles are cut anew. Strokes
are written one after the other; what is not written yet is written before the project
is closed.
"""

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from psygnal import Signal

from napari_segmix.layers.tissue_layer import GLASS, TISSUE, Bytes, TissueLayer
from segmix_core.errors import SegmixError
from segmix_core.geometry import Box
from segmix_core.intake.tissue import (
    detect_tissue,
    paint_tissue,
    read_tissue,
    set_tissue,
)
from segmix_core.project.records import Change, SourceKind, Tissue

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_segmix.session import Session
    from segmix_core.project.store import ProjectStore


class _Shown(NamedTuple):
    """What the layer shows: the tissue as it was read first, and of which slide."""

    source_id: int
    image_id: int
    tissue: Tissue
    layer: TissueLayer


class TissueControl:
    """What the Data page does with the tissue of the shown slide.

    Attributes
    ----------
    brush
        1 adds tissue, 0 erases it.
    is_correcting
        Whether the brush is in hand.
    """

    changed = Signal()
    """Another slide or none is shown, or it is painted on now."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._shown: _Shown | None = None
        self._is_wanted = False
        self._is_reading = False
        self._unwritten: list[Callable[[], Change | None]] = []
        self.brush = TISSUE
        self.is_correcting = False
        session.active_source_changed.connect(self._on_source)
        session.sources_changed.connect(self._read_again)

    @property
    def is_possible(self) -> bool:
        """Whether a slide is shown; folders of tiles are kept as they are."""
        source = self._session.active_source
        return source is not None and source.kind is SourceKind.SLIDE

    @property
    def is_shown(self) -> bool:
        """Whether the tissue can be seen."""
        return self._shown is not None and self._shown.layer.is_open

    def show(self, visible: bool) -> None:
        """Show or hide the tissue of the slide, and of those that are shown later."""
        self._is_wanted = visible
        if not visible:
            self.is_correcting = False
            self._remove()
        elif not self.is_shown:
            self._read()
        self.changed.emit()

    def correct(self, on: bool) -> None:
        """Take the brush, or put it down; the tissue stays visible."""
        self.is_correcting = on and self.is_possible
        if self.is_correcting and not self.is_shown:
            self.show(True)
            return
        self._dress()
        self.changed.emit()

    def paint_with(self, value: int) -> None:
        """Paint tissue (1) or glass (0)."""
        self.brush = value
        self._dress()
        self.changed.emit()

    def find_again(self) -> None:
        """Take the tissue back to what the pixels of the slide say; can be undone."""
        session, shown = self._session, self._shown
        if shown is None:
            return
        store, open_image = session.require(), session.opener.open

        def find() -> Change | None:
            found = detect_tissue(store, shown.image_id, open_image)
            return set_tissue(store, shown.image_id, found)

        session.in_background("Detecting tissue…", find, self._tell)

    def finish(self) -> None:
        """Write what is not written yet; the project is about to be closed."""
        if self._shown is not None:
            self._shown.layer.take_edits()
        strokes, self._unwritten = self._unwritten, []
        for write in strokes:
            try:
                write()
            except SegmixError as error:
                self._session.report(error)
        self._remove()

    # ---- reading and drawing ------------------------------------------------------

    def _read(self) -> None:
        session, source = self._session, self._session.active_source
        store = session.store
        if store is None or source is None or not self.is_possible or self._is_reading:
            return
        (image,) = store.images(source.id)
        self._is_reading = True

        def show(tissue: Tissue) -> None:
            self._is_reading = False
            active = session.active_source
            if active is not None and active.id == source.id:
                self._draw(source.id, image.id, tissue)
            else:
                self._on_source()

        def fail(error: BaseException) -> None:
            self._is_reading = self._is_wanted = self.is_correcting = False
            session.report(error)
            self.changed.emit()

        work = partial(read_tissue, store, image.id, session.opener.open)
        session.executor.submit(work, on_done=show, on_error=fail)

    def _draw(self, source_id: int, image_id: int, tissue: Tissue) -> None:
        session = self._session
        if session.placement is None or not self._is_wanted:
            return
        self._remove()
        layer = TissueLayer(
            session.viewer,
            tissue.mask,
            tissue.downsample,
            session.placement,
            source_id,
            self._on_stroke,
        )
        layer.bind(
            {
                "1": partial(self.paint_with, TISSUE),
                "0": partial(self.paint_with, GLASS),
                "Control-Z": partial(session.undo, "labels"),
                "Control-Shift-Z": partial(session.redo, "labels"),
            }
        )
        self._shown = _Shown(source_id, image_id, tissue, layer)
        self._dress()
        self.changed.emit()

    def _dress(self) -> None:
        if self._shown is None or not self._shown.layer.is_open:
            return
        if self.is_correcting:
            self._shown.layer.paint_with(self.brush)
        else:
            self._shown.layer.outline()

    def _remove(self) -> None:
        shown, self._shown = self._shown, None
        if shown is not None:
            shown.layer.close()

    # ---- writing ------------------------------------------------------------------

    def _on_stroke(self, box: Box, values: Bytes) -> None:
        shown = self._shown
        if shown is None:
            return
        store = self._session.require()
        stroke = partial(paint_tissue, store, shown.image_id, box, values, shown.tissue)
        self._unwritten.append(stroke)
        if len(self._unwritten) == 1:
            self._write()

    def _write(self) -> None:
        self._session.executor.submit(
            self._unwritten[0], on_done=self._on_written, on_error=self._on_failed
        )

    def _on_written(self, change: Change | None) -> None:
        # A stroke that was finished while the project was closed is not in the list.
        del self._unwritten[:1]
        if self._unwritten:
            self._write()
        else:
            self._tell(change)

    def _on_failed(self, error: BaseException) -> None:
        # The strokes after this one are written all the same.
        del self._unwritten[:1]
        self._session.report(error)
        if self._unwritten:
            self._write()
        else:
            self._read_again()

    def _tell(self, change: Change | None) -> None:
        self._session.sources_are_new()
        text = "The tissue did not change" if change is None else change.description
        self._session.say(f"{text}.")

    # ---- what happens elsewhere ---------------------------------------------------

    def _on_source(self) -> None:
        source = self._session.active_source
        shown = self._shown
        if shown is not None and source is not None and shown.source_id == source.id:
            return
        self.is_correcting = False
        self._remove()
        if self._is_wanted:
            self._read()
        self.changed.emit()

    def _read_again(self) -> None:
        """Show the tissue as it is stored, e.g. after undo or another program."""
        store, shown = self._session.store, self._shown
        if store is None or shown is None or self._unwritten:
            return
        shown.layer.show(_stored(store, shown).mask)


def _stored(store: "ProjectStore", shown: _Shown) -> Tissue:
    return store.tissue(shown.image_id) or shown.tissue
