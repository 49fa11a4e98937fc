"""The fourth page: pseudo masks, their correction, and the segmenter."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget
from superqt import QCollapsible

from napari_segmix.widgets.config_form import ConfigForm
from napari_segmix.widgets.field_note import licence_below
from napari_segmix.widgets.making_box import MakingBox
from napari_segmix.widgets.page import Page, collapsible, heading, rule
from napari_segmix.widgets.review_box import ReviewBox
from napari_segmix.widgets.run_texts import moment_text
from napari_segmix.widgets.stage_box import StageBox
from segmix_core.errors import JobError
from segmix_core.licences import weights_of_encoder

if TYPE_CHECKING:
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_segmix.session import Session


class MasksPage(Page):
    """Make masks, look through them, train on them, predict."""

    def __init__(self, session: "Session", parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.making = MakingBox(session)
        self.review = ReviewBox(session)
        self.segmenter = StageBox(
            session,
            "Train segmenter",
            ["train-segmenter"],
            ConfigForm(
                ("segmenter", "machine"),
                ("segmenter.epochs", "segmenter.decoder", "segmenter.encoder"),
            ),
            self._has_masks,
        )
        self.segmenter_licence = licence_below(
            self.segmenter.form, "segmenter.encoder", self._pretrained
        )
        self.prediction = StageBox(
            session,
            "Predict all images",
            ["predict"],
            ConfigForm(("predict", "machine")),
            self._has_segmenter,
        )
        self._had_masks: bool | None = None
        self._build()
        self.listen(session.masks.base_changed, self._on_masks)
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
        has_masks = bool(self.session.masks.bases())
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
        info = self.session.runs.latest(stage)
        if info is None:
            raise JobError(f"There is no completed run of '{stage}'.", hint)
        return f"From the run of {moment_text(info.created)}."

    def showEvent(self, event: "QShowEvent") -> None:  # noqa: N802 - Qt's name
        """Show masks instead of tile labels while the page is open."""
        super().showEvent(event)
        self.session.masks.enter()

    def hideEvent(self, event: "QHideEvent") -> None:  # noqa: N802 - Qt's name
        """Show the tile labels again."""
        super().hideEvent(event)
        self.session.masks.leave()


def _set_open(part: QCollapsible, is_open: bool) -> None:
    if is_open:
        part.expand(animate=False)
    else:
        part.collapse(animate=False)
