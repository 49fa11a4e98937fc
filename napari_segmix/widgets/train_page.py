"""The third page: train the classifier, and watch it learn."""

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_segmix.widgets.buttons import push_button
from napari_segmix.widgets.choice_row import ChoiceRow
from napari_segmix.widgets.config_form import ConfigForm
from napari_segmix.widgets.curves import Curves
from napari_segmix.widgets.device_badge import DeviceBadge
from napari_segmix.widgets.field_note import licence_below
from napari_segmix.widgets.page import SPACING, Page, heading, hint, rule
from napari_segmix.widgets.run_list import RunList
from napari_segmix.widgets.run_texts import moment_text, stage_title
from napari_segmix.widgets.stage_box import StageBox
from segmix_core.methods import METHODS

if TYPE_CHECKING:
    from napari_segmix.run_info import RunInfo
    from napari_segmix.session import Session
    from segmix_core.events import Event

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
_LEARNING = ("train", "train-segmenter")
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

    def __init__(self, session: "Session", parent: QWidget | None = None) -> None:
        self.method = ChoiceRow(_METHOD_NAMES, _METHOD_HINTS, columns=_METHOD_COLUMNS)
        self._method_hint = hint()
        form = ConfigForm(_SECTIONS, _EVERYDAY, of_masks=_OF_MASKS)
        self.method.value = form.method
        super().__init__(
            session, "Start training", ["train"], form, self._ready, parent
        )
        self.column.insertWidget(1, self.method)
        self.column.insertWidget(2, self._method_hint)
        self.method.chosen.connect(self.choose)
        self._show_hint()
        self.licence = licence_below(form, _BACKBONE, self._backbone)

    def show_settings(self, content: dict[str, Any]) -> None:
        """See :meth:`StageBox.show_settings`."""
        super().show_settings(content)
        self.method.value = self.form.method
        self._show_hint()

    def _ready(self) -> str:
        self.session.check_trainable()
        counts = self.session.label_counts
        return f"{counts.labelled} of {counts.total} tiles are labeled."

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

    def __init__(self, session: "Session", parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.box = TrainBox(session)
        self.curves = Curves()
        self.runs = RunList(session)
        self.outline = QCheckBox("Outline moved patches")
        self.outline.setToolTip(
            "In the layer “Shuffled batch”: patches that come from another tile"
        )
        self.outline.setChecked(session.pictures.outlines_moved_patches)
        self.outline.toggled.connect(session.pictures.outline_moved_patches)
        self.go_button = push_button(
            "Go to the batch",
            session.pictures.look_at_batch,
            "Move the view to the shuffled batch, right of the images",
        )
        self._curves_title = heading("Curves")
        self._curves_hint = hint()
        self._build()
        self.runs.settings_wanted.connect(self.box.show_settings)
        self.listen(session.runs.began, self._on_began)
        self.listen(session.runs.events, self._on_events)
        self.listen(session.project_changed, self._on_project)
        self._on_began(session.runs.current)
        session.runs.tell_again()

    def _build(self) -> None:
        top = QHBoxLayout()
        top.addWidget(heading("Train the classifier"), 1)
        top.addWidget(DeviceBadge(self.session))
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

    def _on_project(self) -> None:
        self._on_began(None)

    def _on_began(self, info: "RunInfo | None") -> None:
        if info is not None and info.stage not in _LEARNING:
            # The curves of the training stay while its masks are made.
            return
        self.curves.clear()
        text = "The curves of a run appear here while it trains."
        if info is not None:
            text = f"{stage_title(info.stage)}, {moment_text(info.created)}"
        self._curves_hint.setText(text)

    def _on_events(self, events: "list[Event]") -> None:
        self.curves.add_events(events)
