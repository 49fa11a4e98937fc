"""Masks of the shown source: choose a run, look, correct, accept.

Every stroke is in the project before the next one; undo and redo are the project's.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_segmix.actions.background import Background
from napari_segmix.actions.correction import CorrectionActions
from napari_segmix.actions.history import HistoryActions
from napari_segmix.actions.mask_reading import (
    read_doubt,
    read_file,
    read_overlay,
    read_values,
)
from napari_segmix.actions.runs import RunActions
from napari_segmix.layers.canvas import Canvas
from napari_segmix.layers.mask_overlay import MaskOverlay
from napari_segmix.layers.mosaics import Bytes, Mosaic
from napari_segmix.layers.own_layers import find_layers
from napari_segmix.model.changes import Topic
from napari_segmix.model.displayed_source import DisplayedSource
from napari_segmix.model.model import Model
from napari_segmix.model.review_list import ReviewList
from napari_segmix.model.run_info import RunInfo
from segmix_core.errors import SegmixError
from segmix_core.geometry import Box
from segmix_core.project.records import UNTOUCHED, Change, Review, SourceKind
from segmix_core.stage_registry import MASK_TITLES

if TYPE_CHECKING:
    from napari.layers import Layer


_MOST_PARTS = 32
"""Changed parts that are drawn one by one; of more, everything is read again."""


class MaskActions:
    """What the Masks page does.

    Parameters
    ----------
    model
        Its masks are changed.
    background
        Reads in threads.
    canvas
        Gets the overlay.
    correction
        The correction window.
    history
        Undo and redo.
    runs
        Tells when there are new masks.
    """

    def __init__(
        self,
        model: Model,
        background: Background,
        canvas: Canvas,
        correction: CorrectionActions,
        history: HistoryActions,
        runs: RunActions,
    ) -> None:
        self._state = model.masks
        self._project = model.project
        self._notices = model.notices
        self._background = background
        self._viewer = canvas.viewer
        self._overlay = MaskOverlay(canvas.viewer)
        self._correction = correction
        self._runs = runs
        self._reviewed = 0  # the last journal entry of which the list knows
        self._is_entered = False
        self._hidden: list[Layer] = []
        correction.more_keys = {
            "N": self.next_doubtful,
            "A": self.accept,
            "Control-Z": partial(history.undo, "masks"),
            "Control-Shift-Z": partial(history.redo, "masks"),
        }
        correction.opened.connect(self._blank_overlay)
        correction.closed.connect(self.paste)
        history.changed.connect(lambda change: self.show_changes([change]))
        runs.ended.connect(self._on_run_ended)
        model.changes.happened.connect(self._on_change)

    # ---- what is shown ------------------------------------------------------------

    def choose_base(self, path: Path | None) -> None:
        """Show the masks of a run; None shows none."""
        found = [run for run in self._state.bases() if run.path == path]
        self._correction.close()
        self._state.take_base(found[0] if found else None)
        self._overlay.remove()
        self._read()

    def enter(self) -> None:
        """Show masks, the newest by default, and hide what would cover them."""
        self._is_entered = True
        self._uncover()
        # A command may have made masks meanwhile.
        self._runs.refresh()
        if self._state.base is None and (bases := self._state.bases()):
            self.choose_base(bases[0].path)

    def leave(self) -> None:
        """Show the tile labels and CAMs again."""
        self._is_entered = False
        for layer in self._hidden:
            layer.visible = True
        self._hidden.clear()

    def show_file(self, path: Path) -> None:
        """Show an exported mask over its image, if that is in the shown source."""
        source = self._state.source
        row = None if source is None else source.row_of_file(path)
        if source is None or row is None:
            text = f"{path.name} belongs to an image that is not shown."
            self._notices.say(text, "warning")
            return
        self.choose_base(None)

        def show(mosaic: Mosaic) -> None:
            if self._state.source is source:
                place, classes = source.placement, self._project.classes
                self._overlay.draw(mosaic, place, classes, path.name)

        work = partial(read_file, path, source, row)
        self._background.run(f"Reading {path.name}…", work, show)

    def set_overlay_visible(self, visible: bool) -> None:
        """Show or hide the overlay."""
        for layer in find_layers(self._viewer, "mask"):
            layer.visible = visible

    # ---- review -------------------------------------------------------------------

    def open_tile(self, row: int) -> None:
        """Open a tile in the correction window and move the view to it."""
        if self._state.source is not None:
            self._correction.open_tile(self._state.source, self._base_path, row)

    def open_view(self) -> None:
        """Open what the viewer shows of a slide, if it is small enough."""
        if self._state.source is not None:
            self._correction.open_view(self._state.source, self._base_path)

    def next_doubtful(self) -> None:
        """Open the next tile that nobody has reviewed, the most doubtful first."""
        state = self._state
        if state.reviews is None:
            return
        row = state.reviews.next_row(state.row)
        if row is not None:
            self.open_tile(row)
        elif state.row is None:
            self._notices.say("All tiles of this source are reviewed.")
        else:
            self._notices.say("This is the last tile that is not reviewed.")

    def accept(self) -> None:
        """Note that the open tile's mask is right now, and open the next one."""
        state, store = self._state, self._project.store
        source, reviews, row = state.source, state.reviews, state.row
        if store is None or source is None or reviews is None or row is None:
            return
        self._correction.take_edits()
        image, box = source.image_of(row), source.working_box(row)
        try:
            with store.atomic():
                touched = (store.corrections(image.id, box) != UNTOUCHED).any()
                review = Review.CORRECTED if touched else Review.ACCEPTED
                change = store.set_reviews(source.tiles.ids[[row]], review)
        except SegmixError as error:
            self._notices.refuse(error)
            return
        reviews.mark(row, review)
        if change is not None:
            self._project.note_change(change)
        state.note_reviews()
        if reviews.next_row(row) is None:
            self._correction.close()
        self.next_doubtful()

    # ---- drawing ------------------------------------------------------------------

    def paste(self, image_id: int, box: Box, values: Bytes) -> None:
        """Draw a part of a mask into the overlay."""
        source = self._state.source
        if source is None:
            return
        rows = source.rows_at(image_id, box)
        if source.kind is SourceKind.SLIDE:
            for row in rows[:1]:
                self._overlay.paste(source.canvas_origin(row), box, values)
            return
        for row in rows:
            part = box.intersect(source.working_box(row))
            inside = values[part.moved(-box.y, -box.x).slices]
            self._overlay.paste(source.canvas_origin(row), part, inside)

    def _blank_overlay(self, image_id: int, box: Box) -> None:
        # The window shows these pixels itself; twice would be too dark.
        self.paste(image_id, box, np.zeros((box.height, box.width), np.uint8))

    def _read(self) -> None:
        """Read overlay and doubts of the base for the shown source."""
        state, store = self._state, self._project.store
        source, base = state.source, state.base
        if store is None or source is None or base is None or not len(source.tiles):
            state.note_reviews()
            return
        if state.reviews is not None:
            state.reviews.set_doubts(*read_doubt(base.path))
        state.note_reviews()
        revision = store.revision

        def show(mosaic: Mosaic) -> None:
            if state.source is source and state.base is base:
                place, classes = source.placement, self._project.classes
                self._overlay.draw(mosaic, place, classes, MASK_TITLES[base.stage])
                self._blank_window()
                # What was painted while this was read.
                self.show_changes(store.changes_after("mask", revision))

        work = partial(read_overlay, store, base.path, source)
        self._background.run("Reading masks…", work, show)

    @property
    def _base_path(self) -> Path | None:
        return None if self._state.base is None else self._state.base.path

    def _uncover(self) -> None:
        for role in ("tiles", "cam"):
            for layer in find_layers(self._viewer, role):
                if layer.visible:
                    layer.visible = False
                    self._hidden.append(layer)

    # ---- what happens elsewhere ---------------------------------------------------

    def _on_change(self, topics: frozenset[Topic]) -> None:
        if Topic.PROJECT in topics:
            self._correction.start()
            self._state.take_base(None)
        if Topic.CLASSES in topics:
            self._overlay.recolor(self._project.classes)
            self._correction.take_classes()
        if Topic.SHOWN in topics:
            self._take_source()

    def _take_source(self) -> None:
        project = self._project
        self._correction.forget()
        self._overlay.remove()
        active, tiles, place = project.active_source, project.tiles, project.placement
        source = reviews = None
        if project.store and active and tiles is not None and place is not None:
            images = project.images_of(active.id)
            source = DisplayedSource(active.kind, images, tiles, place)
            self._reviewed = project.store.revision
            reviews = ReviewList(source, project.store.tiles(active.id))
        self._state.take_source(source, reviews)
        self._read()
        if self._is_entered:
            self._uncover()

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
        store, source = self._project.store, self._project.active_source
        reviews = self._state.reviews
        if store is not None and source is not None and reviews is not None:
            revision = store.revision
            changes = store.tile_changes(self._reviewed)
            reviews.set_reviews(changes or store.tiles(source.id))
            self._reviewed = revision
            self._state.note_reviews()

    def _read_masks(self) -> None:
        self._correction.read_again()
        self._read()

    def _show_part(self, image_id: int, box: Box) -> None:
        store, source = self._project.store, self._state.source
        if store is None or source is None:
            return
        if any(image.id == image_id for image in source.images):
            values = read_values(store, self._base_path, image_id, box)
            self.paste(image_id, box, values)
            self._blank_window()
        if self._state.image_id == image_id:
            self._correction.read_again(box)

    def _blank_window(self) -> None:
        image_id, box = self._state.image_id, self._state.box
        if image_id is not None and box is not None:
            self._blank_overlay(image_id, box)

    def _on_run_ended(self, info: RunInfo) -> None:
        if self._is_entered and info.stage in MASK_TITLES:
            self.choose_base(info.path)
