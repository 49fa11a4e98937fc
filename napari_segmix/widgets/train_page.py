"""The third page: train the classifier, and watch it learn."""

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_segmix.model.changes import Topic
from napari_segmix.model.run_info import stage_title
from napari_segmix.widgets.choice_row import ChoiceRow
from napari_segmix.widgets.config_form import ConfigForm
from napari_segmix.widgets.curves import Curves
from napari_segmix.widgets.device_badge import DeviceBadge
from napari_segmix.widgets.elements import heading, hint, push_button, rule
from napari_segmix.widgets.field_note import license_below
from napari_segmix.widgets.page import SPACING, Page
from napari_segmix.widgets.run_list import RunList
from napari_segmix.widgets.run_texts import moment_text
from napari_segmix.widgets.stage_box import StageBox
from segmix_core.methods import METHODS

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model

_METHOD_NAMES = {
    "cam": "CAM",
    "seam": "SEAM",
    "puzzle-cam": "Puzzle",
    "fixed-shuffle": "Fixed",
    "segmix": "SegMix",
    "segmix-plus": "SegMix+",
}
_METHOD_HINTS = {
    "cam": "A plain classifier: its maps show what is most typical of a class.",
    "seam": "CAM whose maps agree between scales of a tile, refined by similar pixels.",
    "puzzle-cam": "CAM whose maps agree between a tile and its quarters seen apart.",
    "fixed-shuffle": "SEAM that also learns from shuffled tiles, always equally hard.",
    "segmix": "SEAM that also learns from shuffled tiles, harder as the loss falls.",
    "segmix-plus": "Shuffled tiles and finer maps; a second network learns from them.",
}
# All methods in one row would be wider than a dock.
_METHOD_COLUMNS = 3
# The second network of SegMix+ learns from pseudo masks that the first one makes.
_OF_MASKS = ("cams", "pseudo_masks")
_SECTIONS = ("train", *_OF_MASKS, "machine")
_BACKBONE = "train.backbone"
_EVERYDAY = (
    *dict.fromkeys(f"train.{n}" for m in METHODS.values() for n in m.everyday),
    "pseudo_masks.background",
    "machine.device",
)


class TrainBox(StageBox):
    """Method and settings of the classifier."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        self.method = ChoiceRow(_METHOD_NAMES, _METHOD_HINTS, columns=_METHOD_COLUMNS)
        self._method_hint = hint()
        form = ConfigForm(_SECTIONS, _EVERYDAY, of_masks=_OF_MASKS)
        self.method.value = form.method
        super().__init__(
            model, actions, "Start training", ["train"], form, self._ready, parent
        )
        self.column.insertWidget(1, self.method)
        self.column.insertWidget(2, self._method_hint)
        self.method.chosen.connect(self.choose)
        self._show_hint()
        self.license = license_below(form, _BACKBONE, self._backbone)

    def show_settings(self, content: dict[str, Any]) -> None:
        """See :meth:`StageBox.show_settings`."""
        super().show_settings(content)
        self.method.value = self.form.method
        self._show_hint()

    def _ready(self) -> str:
        self.model.project.check_trainable()
        counts = self.model.project.label_counts
        return f"{counts.labeled} of {counts.total} tiles are labeled."

    def _backbone(self) -> str:
        return str(self.form.widget(_BACKBONE).value).strip()

    def choose(self, method: str) -> None:
        """Choose a method: its fields are shown."""
        self.method.value = self.form.method = method
        self._show_hint()

    def _show_hint(self) -> None:
        self._method_hint.setText(_METHOD_HINTS.get(self.method.value or "", ""))


class TrainPage(Page):
    """Settings, curves, and the runs of the project."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(model, actions, parent)
        self.box = TrainBox(model, actions)
        self.curves = Curves(model.runs.curves)
        self.runs = RunList(model, actions)
        self.outline = QCheckBox("Outline moved patches")
        self.outline.setToolTip(
            "In the layer “Shuffled batch”: patches that come from another tile"
        )
        self.outline.setChecked(model.runs.outlines_moved_patches)
        self.outline.toggled.connect(actions.pictures.outline_moved_patches)
        self.go_button = push_button(
            "Go to the batch",
            actions.pictures.look_at_batch,
            "Move the view to the shuffled batch, right of the images",
        )
        self._curves_title = heading("Curves")
        self._curves_hint = hint()
        self._build()
        self.runs.settings_wanted.connect(self.box.show_settings)
        self.watch(self._show_learning, Topic.FOLLOWED)
        self._show_learning()

    def _build(self) -> None:
        top = QHBoxLayout()
        top.addWidget(heading("Train the classifier"), 1)
        top.addWidget(DeviceBadge(self.model, self.actions))
        self.column.addLayout(top)
        self.column.addWidget(self.box)
        self.column.addWidget(rule())
        curves = QVBoxLayout()
        curves.setSpacing(SPACING // 2)
        for part in (self._curves_title, self._curves_hint, self.curves):
            curves.addWidget(part)
        batch = QHBoxLayout()
        batch.addWidget(self.outline, 1)
        batch.addWidget(self.go_button)
        curves.addLayout(batch)
        self.column.addLayout(curves)
        self.column.addWidget(rule())
        self.column.addWidget(heading("Runs"))
        self.column.addWidget(self.runs)
        self.column.addStretch(1)

    def showEvent(self, event: "QShowEvent") -> None:  # noqa: N802 - Qt's name
        """Look for runs that a command has started meanwhile."""
        super().showEvent(event)
        self.actions.runs.refresh()

    def _show_learning(self) -> None:
        info = self.model.runs.learning
        text = "The curves of a run appear here while it trains."
        if info is not None:
            text = f"{stage_title(info.stage)}, {moment_text(info.created)}"
        self._curves_hint.setText(text)
        self.curves.refresh()
