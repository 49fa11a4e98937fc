"""Masks of the shown source: choose a run, look, correct, accept.

Every stroke is in the project before the next one; undo and redo are the project's.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_segmix.correction_control import CorrectionControl
from napari_segmix.layers.keys import find_layers
from napari_segmix.layers.mask_overlay import MaskOverlay
from napari_segmix.layers.mosaics import Bytes, Mosaic
from napari_segmix.mask_reading import (
    Shown,
    read_doubt,
    read_file,
    read_overlay,
    read_values,
)
from napari_segmix.review_list import DoubtfulTile, ReviewList
from segmix_core.errors import SegmixError
from segmix_core.geometry import Box
from segmix_core.project.records import UNTOUCHED, Change, Review, SourceKind
from segmix_core.runs import RunState
from segmix_core.stage_registry import MASK_TITLES

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_segmix.run_info import RunInfo
    from napari_segmix.session import Session

_MOST_PARTS = 32
"""Changed parts that are drawn one by one; of more, everything is read again."""


class MaskControl:
    """What the Masks page does.

    Attributes
    ----------
    correction
        The correction window.
    """

    base_changed = Signal()
    """Masks of another run, or of none, are shown, or there are new ones."""
    list_changed = Signal()
    """Doubts or reviews changed."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._overlay = MaskOverlay(session.viewer)
        self._base: RunInfo | None = None
        self._shown: Shown | None = None
        self._list: ReviewList | None = None
        self._reviewed = 0  # the last journal entry of which the list knows
        self._is_entered = False
        self._hidden: list[Layer] = []
        self.correction = CorrectionControl(session, self._keys)
        self.correction.opened.connect(self._blank_overlay)
        self.correction.closed.connect(self.paste)
        session.project_changed.connect(self._on_project)
        session.active_source_changed.connect(self._on_source)
        session.classes_changed.connect(self._on_classes)
        session.change_undone.connect(lambda change: self.show_changes([change]))
        session.runs.ended.connect(self._on_run_ended)

    # ---- what is shown ------------------------------------------------------------

    def bases(self) -> "tuple[RunInfo, ...]":
        """Return the completed runs that left masks, newest first."""
        return tuple(
            run
            for run in self._session.runs.runs()
            if run.stage in MASK_TITLES and run.state is RunState.COMPLETED
        )

    @property
    def base(self) -> "RunInfo | None":
        """The run whose masks are shown and corrected."""
        return self._base

    def choose_base(self, path: Path | None) -> None:
        """Show the masks of a run; None shows none."""
        found = [run for run in self.bases() if run.path == path]
        self.correction.close()
        self._base = found[0] if found else None
        self._overlay.remove()
        self._read()
        self.base_changed.emit()

    def enter(self) -> None:
        """Show masks, the newest by default, and hide what would cover them."""
        self._is_entered = True
        self._uncover()
        if self._base is None and (bases := self.bases()):
            self.choose_base(bases[0].path)

    def leave(self) -> None:
        """Show the tile labels and CAMs again."""
        self._is_entered = False
        for layer in self._hidden:
            layer.visible = True
        self._hidden.clear()

    def show_file(self, path: Path) -> None:
        """Show an exported mask over its image, if that is in the shown source."""
        session, shown = self._session, self._shown
        row = None if shown is None else shown.row_of_file(path)
        if shown is None or row is None:
            session.say(
                f"{path.name} belongs to an image that is not shown.", "warning"
            )
            return
        self.choose_base(None)

        def show(mosaic: Mosaic) -> None:
            if self._shown is shown:
                place, classes = shown.placement, session.classes
                self._overlay.draw(mosaic, place, classes, path.name)

        session.in_background(
            f"Reading {path.name}…", partial(read_file, path, shown, row), show
        )

    def set_overlay_visible(self, visible: bool) -> None:
        """Show or hide the overlay."""
        for layer in find_layers(self._session.viewer, "mask"):
            layer.visible = visible

    # ---- review -------------------------------------------------------------------

    def doubtful(self, limit: int = 100) -> list[DoubtfulTile]:
        """Return the tiles of the source, not reviewed ones first, by falling doubt."""
        return [] if self._list is None else self._list.first(limit)

    def review_counts(self) -> tuple[int, int, int]:
        """Return how many tiles were accepted, corrected, and how many there are."""
        return (0, 0, 0) if self._list is None else self._list.counts()

    def tile_name(self, row: int) -> str:
        """Return how a tile is called in lists."""
        return "" if self._list is None else self._list.name(row)

    def open_tile(self, row: int) -> None:
        """Open a tile in the correction window and move the view to it."""
        if self._shown is not None:
            self.correction.open_tile(self._shown, self._base_path, row)

    def open_view(self) -> None:
        """Open what the viewer shows of a slide, if it is small enough."""
        if self._shown is not None:
            self.correction.open_view(self._shown, self._base_path)

    def next_doubtful(self) -> None:
        """Open the next tile that nobody has reviewed, the most doubtful first."""
        if self._list is None:
            return
        row = self._list.next_row(self.correction.row)
        if row is not None:
            self.open_tile(row)
        elif self.correction.row is None:
            self._session.say("All tiles of this source are reviewed.")
        else:
            self._session.say("This is the last tile that is not reviewed.")

    def accept(self) -> None:
        """Note that the open tile's mask is right now, and open the next one."""
        store, shown, row = self._session.store, self._shown, self.correction.row
        if store is None or shown is None or row is None or self._list is None:
            return
        self.correction.take_edits()
        image, box = shown.image_of(row), shown.working_box(row)
        try:
            with store.atomic():
                touched = (store.corrections(image.id, box) != UNTOUCHED).any()
                review = Review.CORRECTED if touched else Review.ACCEPTED
                store.set_reviews(shown.tiles.ids[[row]], review)
        except SegmixError as error:
            self._session.report(error)
            self._session.watch.look_soon()
            return
        self._list.mark(row, review)
        self._session.history_changed.emit()
        self.list_changed.emit()
        if self._list.next_row(row) is None:
            self.correction.close()
        self.next_doubtful()

    # ---- drawing ------------------------------------------------------------------

    def paste(self, image_id: int, box: Box, values: Bytes) -> None:
        """Draw a part of a mask into the overlay."""
        shown = self._shown
        if shown is None:
            return
        rows = shown.rows_at(image_id, box)
        if shown.kind is SourceKind.SLIDE:
            for row in rows[:1]:
                self._overlay.paste(shown.canvas_origin(row), box, values)
            return
        for row in rows:
            part = box.intersect(shown.working_box(row))
            inside = values[part.moved(-box.y, -box.x).slices]
            self._overlay.paste(shown.canvas_origin(row), part, inside)

    def _blank_overlay(self, image_id: int, box: Box) -> None:
        # The window shows these pixels itself; twice would be too dark.
        self.paste(image_id, box, np.zeros((box.height, box.width), np.uint8))

    def _read(self) -> None:
        """Read overlay and doubts of the base for the shown source."""
        session, shown, base = self._session, self._shown, self._base
        store = session.store
        if store is None or shown is None or base is None or not len(shown.tiles):
            self.list_changed.emit()
            return
        if self._list is not None:
            self._list.set_doubts(*read_doubt(base.path))
        self.list_changed.emit()
        revision = store.revision

        def show(mosaic: Mosaic) -> None:
            if self._shown is shown and self._base is base:
                place, classes = shown.placement, session.classes
                self._overlay.draw(mosaic, place, classes, MASK_TITLES[base.stage])
                self._blank_window()
                # What was painted while this was read.
                self.show_changes(store.changes_after("mask", revision))

        work = partial(read_overlay, store, base.path, shown)
        session.in_background("Reading masks…", work, show)

    @property
    def _base_path(self) -> Path | None:
        return None if self._base is None else self._base.path

    def _uncover(self) -> None:
        for role in ("tiles", "cam"):
            for layer in find_layers(self._session.viewer, role):
                if layer.visible:
                    layer.visible = False
                    self._hidden.append(layer)

    def _keys(self) -> dict[str, Callable[[], object]]:
        session = self._session
        return {
            "N": self.next_doubtful,
            "A": self.accept,
            "Control-Z": partial(session.undo, "masks"),
            "Control-Shift-Z": partial(session.redo, "masks"),
        }

    # ---- what happens elsewhere ---------------------------------------------------

    def _on_project(self) -> None:
        self._base = None
        self.correction.start()
        self.base_changed.emit()

    def _on_source(self) -> None:
        session = self._session
        self.correction.forget()
        self._overlay.remove()
        source, tiles = session.active_source, session.tiles
        self._shown = self._list = None
        view = session.view
        if session.store and source and tiles is not None and view is not None:
            self._shown = Shown(source.kind, view.images, tiles, view.placement)
            self._reviewed = session.store.revision
            self._list = ReviewList(self._shown, session.store.tiles(source.id))
        self._read()
        if self._is_entered:
            self._uncover()
        self.base_changed.emit()

    def _on_classes(self) -> None:
        self._overlay.recolor(self._session.classes)
        self.correction.take_classes()

    def show_changes(self, changes: Sequence[Change]) -> None:
        """Show changes of masks and reviews that were made elsewhere, or undone."""
        if any(change.kind == "review" for change in changes):
            self._read_reviews()
        parts = [
            (image_id, change.box)
            for change in changes
            if change.kind == "mask" and change.box is not None
            for image_id in change.image_ids
        ]
        if len(parts) > _MOST_PARTS:
            self._read_masks()
            return
        for image_id, box in parts:
            self._show_part(image_id, box)

    def reload(self) -> None:
        """Read reviews, overlay and the open window again: anything may differ."""
        self._read_reviews()
        self._read_masks()

    def _read_reviews(self) -> None:
        store, source = self._session.store, self._session.active_source
        if store is not None and source is not None and self._list is not None:
            revision = store.revision
            changes = store.tile_changes(self._reviewed)
            self._list.set_reviews(changes or store.tiles(source.id))
            self._reviewed = revision
            self.list_changed.emit()

    def _read_masks(self) -> None:
        self.correction.read_again()
        self._read()

    def _show_part(self, image_id: int, box: Box) -> None:
        store, shown = self._session.store, self._shown
        if store is None or shown is None:
            return
        if any(image.id == image_id for image in shown.images):
            values = read_values(store, self._base_path, image_id, box)
            self.paste(image_id, box, values)
            self._blank_window()
        if self.correction.image_id == image_id:
            self.correction.read_again(box)

    def _blank_window(self) -> None:
        image_id, box = self.correction.image_id, self.correction.box
        if image_id is not None and box is not None:
            self._blank_overlay(image_id, box)

    def _on_run_ended(self, info: "RunInfo") -> None:
        self.base_changed.emit()
        if self._is_entered and info.stage in MASK_TITLES:
            self.choose_base(info.path)
