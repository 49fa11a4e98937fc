"""The slides and folders of the project, and how new ones are cut."""

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QSpinBox,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_segmix.model.changes import Topic
from napari_segmix.preferences import read_preferences
from napari_segmix.widgets.dialogs import (
    PixelSizeDialog,
    ask_folder,
    ask_images,
)
from napari_segmix.widgets.elements import collapsible, hint
from napari_segmix.widgets.page import Part
from napari_segmix.widgets.source_details import SourceDetails

if TYPE_CHECKING:
    from pathlib import Path

    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model

_NUMBER = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_ID = Qt.ItemDataRole.UserRole
_ROW_PX = 24
_MOST_ROWS = 6


class SourceList(Part):
    """Shows a source when it is clicked; adds slides and folders."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(model, actions, parent)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(6)
        self._empty = hint(
            "Add whole slides, or a folder with one image a tile. Files stay where "
            "they are and are never changed."
        )
        self.list = self._make_list()
        self.add_slides = QPushButton("Add slides…")
        self.add_slides.clicked.connect(self._ask_slides)
        self.add_folder = QPushButton("Add folder of tiles…")
        self.add_folder.clicked.connect(self._ask_folder)
        row = QHBoxLayout()
        row.addWidget(self.add_slides)
        row.addWidget(self.add_folder)
        self.cutting = CuttingForm()
        more = collapsible("How slides are cut into tiles", self.cutting)
        self.details = SourceDetails(model, actions)
        for item in (self._empty, self.list, self.details):
            self.column.addWidget(item)
        self.column.addLayout(row)
        self.column.addWidget(more)
        self.watch(self.refresh, Topic.SOURCES, Topic.LABELS, Topic.SHOWN)
        self.watch(self._enable, Topic.BUSY)
        self.listen(actions.sources.mpp_needed, self.ask_mpp)
        self.refresh()

    def _make_list(self) -> QTreeWidget:
        tree = QTreeWidget()
        tree.setHeaderLabels(["Name", "Tiles", "Labeled"])
        tree.setRootIsDecorated(False)
        tree.setUniformRowHeights(True)
        tree.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        tree.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        header = tree.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        tree.setStyleSheet(f"QTreeWidget::item {{ height: {_ROW_PX}px; }}")
        tree.itemClicked.connect(self._show)
        return tree

    def refresh(self) -> None:
        """Show the sources, their tiles and labels as they are."""
        sources, active = self.model.project.sources, self.model.project.active_source
        self._empty.setVisible(not sources)
        self.list.setVisible(bool(sources))
        self.list.clear()
        for source in sources:
            counts = self.model.project.counts_of(source.id)
            item = QTreeWidgetItem(
                [source.name, f"{counts.total}", f"{counts.labeled}"]
            )
            item.setData(0, _ID, source.id)
            item.setToolTip(0, f"{source.path}\nClick to show it in the viewer")
            for column in (1, 2):
                item.setTextAlignment(column, _NUMBER)
            self.list.addTopLevelItem(item)
            item.setSelected(active is not None and active.id == source.id)
        rows = min(max(len(sources), 2), _MOST_ROWS)
        self.list.setFixedHeight((rows + 1) * _ROW_PX + 4)
        self._enable()

    def _enable(self) -> None:
        free = self.model.project.store is not None and not self.model.notices.busy
        self.add_slides.setEnabled(free)
        self.add_folder.setEnabled(free)

    def _show(self, item: QTreeWidgetItem) -> None:
        active, chosen = self.model.project.active_source, int(item.data(0, _ID))
        if active is None or active.id != chosen:
            self.actions.sources.show(chosen)

    def _ask_slides(self) -> None:
        paths = ask_images(self)
        if paths:
            self.actions.sources.add(paths, **self.cutting.options())

    def _ask_folder(self) -> None:
        path = ask_folder(self, "Folder of tile images")
        if path is not None:
            self.actions.sources.add([path], **self.cutting.options())

    def ask_mpp(self, paths: "tuple[Path, ...]", options: dict[str, Any]) -> None:
        """Ask how large a pixel is, then add; nothing is added when canceled."""
        names = [path.name for path in paths]
        dialog = PixelSizeDialog(names, self.actions.sources.last_mpp, self)
        answer = dialog.exec()
        if answer == PixelSizeDialog.NOT_KNOWN:
            self.actions.sources.add(paths, asks_mpp=False, **options)
        elif answer:
            given = {**options, "slide_mpp": dialog.mpp.value()}
            self.actions.sources.add(paths, **given)
        dialog.deleteLater()


class CuttingForm(QWidget):
    """Options for slides; what is left on automatic is decided by the slide."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.tile_px = QSpinBox()
        self.tile_px.setRange(0, 4096)
        self.tile_px.setSingleStep(32)
        self.tile_px.setSuffix(" px")
        self.tile_px.setSpecialValueText("automatic (256 px)")
        self.tile_px.setValue(read_preferences().tile_px)
        self.tile_px.setToolTip("Edge of a tile, in pixels at the size worked at")
        self.mpp = QDoubleSpinBox()
        self.mpp.setRange(0, 20)
        self.mpp.setDecimals(3)
        self.mpp.setSingleStep(0.25)
        self.mpp.setSuffix(" µm per pixel")
        self.mpp.setSpecialValueText("automatic (about 0.5 µm)")
        self.mpp.setToolTip("Slides are shrunk to this pixel size for training")
        self.min_tissue = QSpinBox()
        self.min_tissue.setRange(0, 100)
        self.min_tissue.setSuffix(" %")
        self.min_tissue.setValue(25)
        self.min_tissue.setToolTip("Skip tiles with less tissue than this")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Tile edge", self.tile_px)
        form.addRow("Work at", self.mpp)
        form.addRow("Tissue at least", self.min_tissue)

    def options(self) -> dict[str, Any]:
        """Return keyword arguments for adding."""
        return {
            "tile_px": self.tile_px.value() or None,
            "mpp": self.mpp.value() or None,
            "min_tissue": self.min_tissue.value() / 100,
        }
