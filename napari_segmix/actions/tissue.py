"""Seeing and correcting where a slide has tissue, without blocking the window.

Each stroke is written at once, in a thread, and the slide's tiles are cut anew. Strokes
are written one after the other; what is not written yet is written before the project
is closed.
"""

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from napari_segmix.actions.background import Background
from napari_segmix.actions.history import HistoryActions
from napari_segmix.actions.showing import Showing
from napari_segmix.layers.canvas import Canvas
from napari_segmix.layers.own_layers import bind_keys
from napari_segmix.layers.strokes import Bytes
from napari_segmix.layers.tissue_layer import TissueLayer
from napari_segmix.model.changes import Topic
from napari_segmix.model.model import Model
from napari_segmix.model.tissue import GLASS, TISSUE
from segmix_core.errors import SegmixError
from segmix_core.geometry import Box
from segmix_core.intake.tissue import (
    detect_tissue,
    paint_tissue,
    read_tissue,
    set_tissue,
)
from segmix_core.project.records import Change, Tissue

if TYPE_CHECKING:
    from collections.abc import Callable

    from segmix_core.project.store import ProjectStore


class _Shown(NamedTuple):
    """What the layer shows: the tissue as it was read first, and of which slide."""

    source_id: int
    image_id: int
    tissue: Tissue
    layer: TissueLayer


class TissueActions:
    """Shows the tissue of the shown slide, and corrects it with a brush.

    Parameters
    ----------
    model
        Its tissue is changed.
    background
        Reads and writes in threads.
    canvas
        Gets the layer.
    showing, history
        What a stroke changes, and what takes it back.
    """

    def __init__(
        self,
        model: Model,
        background: Background,
        canvas: Canvas,
        showing: Showing,
        history: HistoryActions,
    ) -> None:
        self._state = model.tissue
        self._project = model.project
        self._notices = model.notices
        self._background = background
        self._viewer = canvas.viewer
        self._showing = showing
        self._history = history
        self._shown: _Shown | None = None
        self._is_wanted = False
        self._is_reading = False
        self._unwritten: list[Callable[[], Change | None]] = []
        model.changes.happened.connect(self._on_change)
        canvas.viewer.layers.events.removed.connect(self._on_removed)

    @property
    def _is_shown(self) -> bool:
        return self._shown is not None and self._shown.layer.is_open

    def show(self, visible: bool) -> None:
        """Show or hide the tissue of the slide, and of those that are shown later."""
        self._is_wanted = visible
        if not visible:
            self._state.is_correcting = False
            self._remove()
        elif not self._is_shown:
            self._read()
        self._note()

    def correct(self, on: bool) -> None:
        """Take the brush, or put it down; the tissue stays visible."""
        self._state.is_correcting = on and self._project.shows_slide
        if self._state.is_correcting and not self._is_shown:
            self.show(True)
            return
        self._dress()
        self._note()

    def paint_with(self, value: int) -> None:
        """Paint tissue (1) or glass (0)."""
        self._state.brush = value
        self._dress()
        self._note()

    def _note(self) -> None:
        self._state.note(is_shown=self._is_shown)

    def find_again(self) -> None:
        """Take the tissue back to what the pixels of the slide say; can be undone."""
        shown = self._shown
        if shown is None:
            return
        store, open_image = self._project.require(), self._background.opener.open

        def find() -> Change | None:
            found = detect_tissue(store, shown.image_id, open_image)
            return set_tissue(store, shown.image_id, found)

        self._background.run("Detecting tissue…", find, self._say_change)

    def finish(self) -> None:
        """Write what is not written yet; the project is about to be closed."""
        if self._shown is not None:
            self._shown.layer.take_edits()
        strokes, self._unwritten = self._unwritten, []
        for write in strokes:
            try:
                write()
            except SegmixError as error:
                self._notices.report(error)
        self._remove()

    # ---- reading and drawing ------------------------------------------------------

    def _read(self) -> None:
        project = self._project
        source, store = project.active_source, project.store
        if store is None or source is None or self._is_reading:
            return
        if not project.shows_slide:
            return
        (image,) = project.images_of(source.id)
        self._is_reading = True

        def show(tissue: Tissue) -> None:
            self._is_reading = False
            active = project.active_source
            if active is not None and active.id == source.id:
                self._draw(source.id, image.id, tissue)
            else:
                self._on_source()

        def fail(error: BaseException) -> None:
            self._is_reading = self._is_wanted = self._state.is_correcting = False
            self._notices.report(error)
            self._note()

        work = partial(read_tissue, store, image.id, self._background.opener.open)
        self._background.executor.submit(work, on_done=show, on_error=fail)

    def _draw(self, source_id: int, image_id: int, tissue: Tissue) -> None:
        placement = self._project.placement
        if placement is None or not self._is_wanted:
            return
        self._remove()
        layer = TissueLayer(
            self._viewer,
            tissue.mask,
            tissue.downsample,
            placement,
            source_id,
            self._on_stroke,
        )
        bind_keys(
            layer.layer,
            {
                "1": partial(self.paint_with, TISSUE),
                "0": partial(self.paint_with, GLASS),
                "Control-Z": partial(self._history.undo, "labels"),
                "Control-Shift-Z": partial(self._history.redo, "labels"),
            },
        )
        self._shown = _Shown(source_id, image_id, tissue, layer)
        self._dress()
        self._note()

    def _dress(self) -> None:
        if self._shown is None or not self._shown.layer.is_open:
            return
        if self._state.is_correcting:
            self._shown.layer.paint_with(self._state.brush)
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
        store = self._project.require()
        stroke = partial(paint_tissue, store, shown.image_id, box, values, shown.tissue)
        self._unwritten.append(stroke)
        if len(self._unwritten) == 1:
            self._write()

    def _write(self) -> None:
        self._background.executor.submit(
            self._unwritten[0], on_done=self._on_written, on_error=self._on_failed
        )

    def _on_written(self, change: Change | None) -> None:
        # A stroke that was finished while the project was closed is not in the list.
        del self._unwritten[:1]
        if self._unwritten:
            self._write()
        else:
            self._say_change(change)

    def _on_failed(self, error: BaseException) -> None:
        # The strokes after this one are written all the same.
        del self._unwritten[:1]
        self._notices.report(error)
        if self._unwritten:
            self._write()
        else:
            self._read_again()

    def _say_change(self, change: Change | None) -> None:
        self._showing.reload_sources()
        text = "The tissue did not change" if change is None else change.description
        self._notices.say(f"{text}.")

    # ---- what happens elsewhere ---------------------------------------------------

    def _on_change(self, topics: frozenset[Topic]) -> None:
        if Topic.SOURCES in topics:
            self._read_again()
        if Topic.SHOWN in topics:
            self._on_source()

    def _on_removed(self, _event: object) -> None:
        # The user may delete the layer in napari's list.
        if self._state.is_shown and self._shown is not None and not self._is_shown:
            self._note()

    def _on_source(self) -> None:
        source, shown = self._project.active_source, self._shown
        if shown is not None and source is not None and shown.source_id == source.id:
            return
        self._state.is_correcting = False
        self._remove()
        if self._is_wanted:
            self._read()
        self._note()

    def _read_again(self) -> None:
        """Show the tissue as it is stored, e.g. after undo or another program."""
        store, shown = self._project.store, self._shown
        if store is None or shown is None or self._unwritten:
            return
        shown.layer.show(_stored(store, shown).mask)


def _stored(store: "ProjectStore", shown: _Shown) -> Tissue:
    return store.tissue(shown.image_id) or shown.tissue
