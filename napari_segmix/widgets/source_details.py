"""What can be said about the source that is shown: its pixel size, its new files."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QPushButton, QWidget

from napari_segmix.model.changes import Topic
from napari_segmix.widgets.elements import hint
from napari_segmix.widgets.page import Part
from segmix_core.geometry import MAX_MPP, MIN_MPP

if TYPE_CHECKING:
    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model


class SourceDetails(Part):
    """Sets the pixel size of the shown source, and accepts its changed files."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(model, actions, parent)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(6)
        self.mpp = QDoubleSpinBox()
        self.mpp.setRange(0, MAX_MPP)
        self.mpp.setDecimals(4)
        self.mpp.setSingleStep(0.05)
        self.mpp.setSuffix(" µm")
        self.mpp.setSpecialValueText("unknown")
        self.mpp.setToolTip(
            "Pixel size at full resolution. Sizes, scale bars and exports are "
            "updated; tiles and masks do not change"
        )
        self.mpp.valueChanged.connect(self._enable)
        self.set_mpp = QPushButton("Set pixel size")
        self.set_mpp.clicked.connect(self._set_mpp)
        row = QHBoxLayout()
        row.addWidget(QLabel("Pixel size"))
        row.addWidget(self.mpp, 1)
        row.addWidget(self.set_mpp)
        self.column.addLayout(row)
        self._stored: tuple[float, float] | None = None
        self.not_square = hint()
        self.column.addWidget(self.not_square)
        self.changed = hint()
        self.accept_files = QPushButton("Accept changed files")
        self.accept_files.setToolTip(
            "Use the files on disk. Labels do not change; runs stay outdated"
        )
        self.accept_files.clicked.connect(self._accept)
        self.column.addWidget(self.changed)
        self.column.addWidget(self.accept_files)
        self.watch(self.refresh, Topic.SOURCES, Topic.SHOWN, Topic.FILES)
        self.watch(self._enable, Topic.BUSY)
        self.refresh()

    def refresh(self) -> None:
        """Show what is stored about the source."""
        source = self.model.project.active_source
        self.setVisible(source is not None)
        if source is None:
            return
        stored = self.model.project.pixel_size(source.id)
        if stored != self._stored or not self.mpp.hasFocus():
            self.mpp.setValue(0 if stored is None else (stored[0] * stored[1]) ** 0.5)
        self._stored = stored
        is_square = stored is None or stored[0] == stored[1]
        self.not_square.setVisible(not is_square)
        if stored is not None:
            self.not_square.setText(
                f"Pixels are {stored[0]:.4g} µm high and {stored[1]:.4g} µm wide. "
                "A size that you set here makes them square."
            )
        count = sum(i.source_id == source.id for i in self.model.project.changed_files)
        self.changed.setText(
            f"Files changed since they were added: {count}. Labels may no longer match."
        )
        self.changed.setVisible(count > 0)
        self.accept_files.setVisible(count > 0)
        self._enable()

    def _enable(self) -> None:
        source = self.model.project.active_source
        if source is None:
            return
        value = self.mpp.value()
        is_new = value >= MIN_MPP and (
            self._stored is None or any(abs(value - s) > 5e-5 for s in self._stored)
        )
        self.set_mpp.setEnabled(is_new and not self.model.notices.busy)
        self.accept_files.setEnabled(not self.model.notices.busy)

    def _set_mpp(self) -> None:
        source = self.model.project.active_source
        if source is not None:
            self.actions.sources.set_mpp(source.id, self.mpp.value())

    def _accept(self) -> None:
        source = self.model.project.active_source
        if source is not None:
            self.actions.sources.accept_files(source.id)
