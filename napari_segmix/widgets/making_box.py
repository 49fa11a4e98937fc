"""Pseudo masks from the newest training."""

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

from napari_segmix.widgets.config_form import ConfigForm
from napari_segmix.widgets.run_texts import moment_text
from napari_segmix.widgets.stage_box import StageBox
from segmix_core.errors import ConfigError, JobError
from segmix_core.settings import RunSettings

if TYPE_CHECKING:
    from pathlib import Path

    from napari_segmix.run_info import RunInfo
    from napari_segmix.session import Session

_BACKGROUND = "pseudo_masks.background"


class MakingBox(StageBox):
    """Class activation maps, then masks; their background is that of the training.

    SegMix+ learns from masks while it trains. What is background in them was chosen
    on the Train page, and holds here until another is chosen.
    """

    def __init__(self, session: "Session", parent: QWidget | None = None) -> None:
        self._training: Path | None = None
        form = ConfigForm(("cams", "pseudo_masks", "machine"), (_BACKGROUND,))
        stages = ("cams", "pseudo-masks")
        super().__init__(
            session, "Make pseudo masks", stages, form, self._ready, parent
        )

    def _ready(self) -> str:
        training = self.session.runs.latest("train")
        if training is None:
            hint = "Train the classifier on the Train page first."
            raise JobError("There is no completed run of 'train'.", hint)
        return f"From the run of {moment_text(training.created)}."

    def _on_runs(self) -> None:
        super()._on_runs()
        training = self.session.runs.latest("train")
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
            self.session.report(error)
            return
        if config.trained_background is not None:
            self.form.set_values({_BACKGROUND: config.trained_background})

    def _has_made_masks_since(self, training: "RunInfo") -> bool:
        runs = self.session.runs.runs()
        return any(
            run.stage == "cams" and run.created > training.created for run in runs
        )
