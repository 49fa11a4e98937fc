"""The fifth page: masks as files for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_segmix.model.changes import Topic
from napari_segmix.model.run_info import Job
from napari_segmix.widgets.choice_row import ChoiceRow
from napari_segmix.widgets.elements import (
    fit_height,
    heading,
    hint,
    prepare_list,
    primary_button,
    push_button,
    rule,
)
from napari_segmix.widgets.page import Page
from napari_segmix.widgets.run_texts import moment_text, size_text
from segmix_core.errors import SegmixError
from segmix_core.settings import RunSettings
from segmix_core.stage_registry import MASK_TITLES

if TYPE_CHECKING:
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model

_FORMATS = {"ome": "OME-TIFF", "generic": "TIFF pyramid"}
_FORMAT_TIPS = {
    "ome": "*.ome.tif for QuPath, Bio-Formats, napari: class names, pixel size",
    "generic": "*.tif for OpenSlide and ASAP: levels as pages, class names as JSON",
}
_CORRECTIONS = "Corrections only"
_PATH = Qt.ItemDataRole.UserRole


class ExportPage(Page):
    """Choose masks and format, export, and find the files."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(model, actions, parent)
        self.base = QComboBox()
        self.base.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self._chosen: str | None = None
        self.base.activated.connect(lambda _index: self._choose())
        self.format = ChoiceRow(_FORMATS, _FORMAT_TIPS)
        self.format.value = "ome"
        self.only_shown = QCheckBox("Only the images of the shown source")
        self.crop = QCheckBox("Crop to scanner bounds")
        self.crop.setToolTip(
            "Export only the scanned area that QuPath shows, for slides whose scanner "
            "recorded it"
        )
        self.export_button = primary_button("Export masks", self.export)
        self.files = QTreeWidget()
        self._empty = hint("No files yet.")
        self.show_button = push_button(
            "Show in viewer", self._show, "Show the file over its image"
        )
        self.reveal_button = push_button(
            "Open folder", self._reveal, "Open the folder with the exported files"
        )
        self._missing = hint()
        self._build()
        self.watch(self.refresh, Topic.RUNS, Topic.PROJECT, Topic.SOURCES)
        self.watch(self._enable, Topic.PROGRESS)
        self.refresh()

    def _build(self) -> None:
        self.column.addWidget(heading("Export masks"))
        self.column.addWidget(
            hint(
                "One file per image, as large as the grid its masks were made on, "
                "pixels are class numbers. What you corrected goes before what was "
                "predicted."
            )
        )
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Masks", self.base)
        form.addRow("Format", self.format)
        self.column.addLayout(form)
        for part in (
            self.only_shown,
            self.crop,
            self._missing,
            self.export_button,
            rule(),
        ):
            self.column.addWidget(part)
        self.column.addWidget(heading("Exported files"))
        self.files.setColumnCount(3)
        self.files.setHeaderHidden(True)
        prepare_list(self.files)
        self.files.currentItemChanged.connect(lambda *_: self._enable())
        self.column.addWidget(self._empty)
        self.column.addWidget(self.files)
        row = QHBoxLayout()
        row.addWidget(self.show_button)
        row.addWidget(self.reveal_button)
        row.addStretch(1)
        self.column.addLayout(row)
        self.column.addStretch(1)

    def refresh(self) -> None:
        """Read masks and files again."""
        self.base.clear()
        for info in self.model.masks.bases():
            moment = moment_text(info.created)
            self.base.addItem(f"{MASK_TITLES[info.stage]} of {moment}", str(info.path))
        store = self.model.project.store
        if not self.base.count() and store is not None and store.corrected_images():
            self.base.addItem(_CORRECTIONS, "")
        # New masks come first, unless the user has chosen others.
        self.base.setCurrentIndex(max(0, self.base.findData(self._chosen)))
        self._list_files()
        images = self.model.project.images
        self.crop.setVisible(any(image.bounds is not None for image in images))
        self._enable()

    def _choose(self) -> None:
        self._chosen = self.base.currentData()

    def export(self) -> None:
        """Start the export."""
        inputs = {
            info.stage: info.path
            for info in self.model.masks.bases()
            if str(info.path) == self.base.currentData()
        }
        options: dict[str, object] = {"format": self.format.value}
        if self.crop.isChecked() and not self.crop.isHidden():
            options["crop_to_bounds"] = True
        project = self.model.project
        source = project.active_source
        if self.only_shown.isChecked() and source is not None:
            options["image_ids"] = [image.id for image in project.images_of(source.id)]
        try:
            self.actions.runs.start(Job("export", RunSettings(), inputs, options))
        except SegmixError as error:
            self.model.notices.report(error)

    def showEvent(self, event: "QShowEvent") -> None:  # noqa: N802 - Qt's name
        """Show the masks that are exported, and nothing that covers them."""
        super().showEvent(event)
        # The first correction may have been made since, and files come and go.
        self.refresh()
        self.actions.masks.enter()

    def hideEvent(self, event: "QHideEvent") -> None:  # noqa: N802 - Qt's name
        """Show the tile labels again."""
        super().hideEvent(event)
        self.actions.masks.leave()

    def _list_files(self) -> None:
        self.files.clear()
        for path in self._paths():
            facts = path.stat()
            texts = [path.name, size_text(facts.st_size), moment_text(facts.st_mtime)]
            item = QTreeWidgetItem(texts)
            item.setData(0, _PATH, path)
            item.setToolTip(0, str(path))
            self.files.addTopLevelItem(item)
        count = self.files.topLevelItemCount()
        self._empty.setVisible(not count)
        fit_height(self.files)

    def _paths(self) -> list[Path]:
        store = self.model.project.store
        if store is None or not store.exports_path.is_dir():
            return []
        found = [
            path
            for pattern in ("*.tif", "*.tiff", "*.png")
            for path in store.exports_path.rglob(pattern)
            if not path.name.startswith(".")
        ]
        return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)

    def _enable(self) -> None:
        has_masks = self.base.count() > 0
        text = "" if has_masks else "Make pseudo masks on the Masks page first."
        self._missing.setText(text)
        self._missing.setVisible(bool(text))
        running = self.model.runs.is_running
        self.export_button.setEnabled(has_masks and not running)
        self.only_shown.setVisible(len(self.model.project.sources) > 1)
        self.show_button.setEnabled(self.files.currentItem() is not None)
        self.reveal_button.setEnabled(self.files.topLevelItemCount() > 0)

    def _show(self) -> None:
        item = self.files.currentItem()
        if item is not None:
            self.actions.masks.show_file(item.data(0, _PATH))

    def _reveal(self) -> None:
        item, store = self.files.currentItem(), self.model.project.store
        if store is not None:
            folder = store.exports_path if item is None else item.data(0, _PATH).parent
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
