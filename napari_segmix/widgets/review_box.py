"""Look through masks, the most doubtful first, and correct them."""

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QProgressBar,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_segmix.model.changes import Topic
from napari_segmix.widgets.brush_palette import BrushPalette
from napari_segmix.widgets.elements import (
    fit_height,
    hint,
    prepare_list,
    primary_button,
    push_button,
)
from napari_segmix.widgets.history_buttons import HistoryButtons
from napari_segmix.widgets.page import Part
from napari_segmix.widgets.run_texts import moment_text
from segmix_core.project.records import Review
from segmix_core.stage_registry import MASK_TITLES

if TYPE_CHECKING:
    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model

_LISTED = 100
_ROW = Qt.ItemDataRole.UserRole
_REVIEWS = {
    Review.NONE: ("", "#8a93a0"),
    Review.ACCEPTED: ("accepted", "#2fbf8f"),
    Review.CORRECTED: ("corrected", "#5aa9e6"),
}


class ReviewBox(Part):
    """Masks to look at, a list of tiles, and the brush of the correction window."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(model, actions, parent)
        self.column.setContentsMargins(0, 0, 0, 0)
        masks = actions.masks
        self.base = QComboBox()
        self.base.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.base.activated.connect(self._choose_base)
        self.overlay = QCheckBox("Show masks")
        self.overlay.setChecked(True)
        self.overlay.toggled.connect(masks.set_overlay_visible)
        self.progress = QProgressBar()
        self.tree = QTreeWidget()
        self.next_button = primary_button(
            "Next doubtful", masks.next_doubtful, "Key N in the correction window"
        )
        self.view_button = push_button(
            "Correct the view", masks.open_view, "Open the part of the slide in view"
        )
        self.palette_box = BrushPalette(model, actions)
        self.history = HistoryButtons(
            model, actions, "masks", "while the mask layer is active"
        )
        self._build()
        self._later = QTimer(self, singleShot=True, interval=100)
        self._later.timeout.connect(self._fill)
        self.watch(self.refresh, Topic.MASKS, Topic.RUNS)
        self.watch(self._later_fill, Topic.REVIEWS)
        self.watch(self._show_open, Topic.CORRECTION)
        self.refresh()

    def _build(self) -> None:
        top = QHBoxLayout()
        top.addWidget(self.base, 1)
        top.addWidget(self.overlay)
        self.column.addLayout(top)
        self.progress.setFormat("")
        self.column.addWidget(self.progress)
        self.tree.setColumnCount(3)
        self.tree.setHeaderLabels(["Tile, most doubtful first", "Doubt", ""])
        prepare_list(self.tree)
        self.tree.itemClicked.connect(self._open_item)
        self.column.addWidget(self.tree)
        row = QHBoxLayout()
        row.addWidget(self.next_button, 1)
        row.addWidget(self.view_button)
        self.column.addLayout(row)
        self.column.addWidget(self.palette_box)
        self.column.addWidget(self.history)
        self._hint = hint(
            "Click a tile, or Next doubtful: its mask opens for painting. Every stroke "
            "is saved at once."
        )
        self.column.addWidget(self._hint)

    def refresh(self) -> None:
        """Show which masks there are and which are chosen."""
        masks = self.model.masks
        self.base.clear()
        for info in masks.bases():
            text = f"{MASK_TITLES[info.stage]} of {moment_text(info.created)}"
            self.base.addItem(text, str(info.path))
        chosen = masks.base
        self.base.setCurrentIndex(
            -1 if chosen is None else self.base.findData(str(chosen.path))
        )
        self.view_button.setVisible(self.model.project.shows_slide)
        self._fill()
        self._show_open()

    def _later_fill(self) -> None:
        self._later.start()

    def _fill(self) -> None:
        masks = self.model.masks
        accepted, corrected, total = masks.review_counts()
        self.progress.setMaximum(max(total, 1))
        self.progress.setValue(accepted + corrected)
        self.progress.setFormat(
            f"{accepted} accepted, {corrected} corrected of {total} tiles"
        )
        self.tree.clear()
        for tile in masks.doubtful(_LISTED):
            text, color = _REVIEWS[tile.review]
            item = QTreeWidgetItem([tile.name, f"{100 * tile.doubt:.1f} %", text])
            item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight)
            item.setForeground(2, QColor(color))
            item.setData(0, _ROW, tile.row)
            self.tree.addTopLevelItem(item)
        fit_height(self.tree)
        self._mark_open()

    def _mark_open(self) -> None:
        row = self.model.masks.row
        for i in range(self.tree.topLevelItemCount()):
            item = self.tree.topLevelItem(i)
            if row is not None and item.data(0, _ROW) == row:
                self.tree.setCurrentItem(item)
                return
        self.tree.setCurrentItem(None)

    def _show_open(self) -> None:
        is_open = self.model.masks.is_open
        self.palette_box.setVisible(is_open)
        self._hint.setVisible(not is_open)
        self.next_button.setVisible(not is_open)
        self._mark_open()

    def _open_item(self, item: QTreeWidgetItem) -> None:
        self.actions.masks.open_tile(item.data(0, _ROW))

    def _choose_base(self, _index: int) -> None:
        self.actions.masks.choose_base(Path(self.base.currentData()))
