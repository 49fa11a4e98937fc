"""The fourth page: pseudo masks, their correction, and the segmenter."""

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget
from superqt import QCollapsible

from napari_segmix.model.changes import Topic
from napari_segmix.widgets.config_form import ConfigForm
from napari_segmix.widgets.elements import collapsible, heading, rule
from napari_segmix.widgets.field_note import license_below
from napari_segmix.widgets.page import Page
from napari_segmix.widgets.review_box import ReviewBox
from napari_segmix.widgets.run_texts import moment_text
from napari_segmix.widgets.stage_box import StageBox
from segmix_core.errors import ConfigError, JobError
from segmix_core.licenses import weights_of_encoder
from segmix_core.settings import RunSettings

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model
    from napari_segmix.model.run_info import RunInfo


_BACKGROUND = "pseudo_masks.background"


class MakingBox(StageBox):
    """Class activation maps, then masks; their background is that of the training.

    SegMix+ learns from masks while it trains. What is background in them was chosen
    on the Train page, and holds here until another is chosen.
    """

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        self._training: Path | None = None
        form = ConfigForm(("cams", "pseudo_masks", "machine"), (_BACKGROUND,))
        stages = ("cams", "pseudo-masks")
        super().__init__(
            model, actions, "Make pseudo masks", stages, form, self._ready, parent
        )

    def _ready(self) -> str:
        training = self.model.runs.latest("train")
        if training is None:
            hint = "Train the classifier on the Train page first."
            raise JobError("There is no completed run of 'train'.", hint)
        return f"From the run of {moment_text(training.created)}."

    def _on_runs(self) -> None:
        super()._on_runs()
        training = self.model.runs.latest("train")
        path = None if training is None else training.path
        if path == self._training:
            return
        self._training = path
        if training is not None and not self._has_made_masks_since(training):
            self._take_over(training.config)

    def _take_over(self, content: dict[str, Any]) -> None:
        try:
            config = RunSettings.parse(content)
        except ConfigError as error:
            self.model.notices.report(error)
            return
        if config.trained_background is not None:
            self.form.set_values({_BACKGROUND: config.trained_background})

    def _has_made_masks_since(self, training: "RunInfo") -> bool:
        runs = self.model.runs.infos
        return any(
            run.stage == "cams" and run.created > training.created for run in runs
        )


class MasksPage(Page):
    """Make masks, look through them, train on them, predict."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(model, actions, parent)
        self.making = MakingBox(model, actions)
        self.review = ReviewBox(model, actions)
        self.segmenter = StageBox(
            model,
            actions,
            "Train segmenter",
            ["train-segmenter"],
            ConfigForm(
                ("segmenter", "machine"),
                ("segmenter.epochs", "segmenter.decoder", "segmenter.encoder"),
            ),
            self._has_masks,
        )
        self.segmenter_license = license_below(
            self.segmenter.form, "segmenter.encoder", self._pretrained
        )
        self.prediction = StageBox(
            model,
            actions,
            "Predict all images",
            ["predict"],
            ConfigForm(("predict", "machine")),
            self._has_segmenter,
        )
        self._had_masks: bool | None = None
        self._build()
        self.watch(self._on_masks, Topic.MASKS, Topic.RUNS)
        self._on_masks()

    def _build(self) -> None:
        self._segmenter_part = collapsible("Segmenter from the masks", self.segmenter)
        self._prediction_part = collapsible("Predict whole slides", self.prediction)
        self._making_part = collapsible("Pseudo masks from the labels", self.making)
        self.column.addWidget(self._making_part)
        self.column.addWidget(rule())
        self._review_title = heading("Look and correct")
        self.column.addWidget(self._review_title)
        self.column.addWidget(self.review)
        self.column.addWidget(rule())
        self.column.addWidget(self._segmenter_part)
        self.column.addWidget(rule())
        self.column.addWidget(self._prediction_part)
        self.column.addStretch(1)

    def _on_masks(self) -> None:
        has_masks = bool(self.model.masks.bases())
        if has_masks is not self._had_masks:
            # What comes next is open; the rest is one click away.
            self._had_masks = has_masks
            _set_open(self._making_part, not has_masks)
            _set_open(self._segmenter_part, False)
            _set_open(self._prediction_part, False)
        self.review.setVisible(has_masks)
        self._review_title.setVisible(has_masks)

    def _has_masks(self) -> str:
        return self._need("pseudo-masks", "Make pseudo masks first.")

    def _pretrained(self) -> str:
        form = self.segmenter.form
        if not form.widget("segmenter.pretrained").value:
            return ""
        return weights_of_encoder(str(form.widget("segmenter.encoder").value).strip())

    def _has_segmenter(self) -> str:
        return self._need("train-segmenter", "Train the segmenter first.")

    def _need(self, stage: str, hint: str) -> str:
        info = self.model.runs.latest(stage)
        if info is None:
            raise JobError(f"There is no completed run of '{stage}'.", hint)
        return f"From the run of {moment_text(info.created)}."

    def showEvent(self, event: "QShowEvent") -> None:  # noqa: N802 - Qt's name
        """Show masks instead of tile labels while the page is open."""
        super().showEvent(event)
        self.actions.masks.enter()

    def hideEvent(self, event: "QHideEvent") -> None:  # noqa: N802 - Qt's name
        """Show the tile labels again."""
        super().hideEvent(event)
        self.actions.masks.leave()


def _set_open(part: QCollapsible, is_open: bool) -> None:
    if is_open:
        part.expand(animate=False)
    else:
        part.collapse(animate=False)
