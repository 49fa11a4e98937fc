"""Settings and start button of one or several stages in a row."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QLabel, QWidget

from napari_segmix.model.changes import Topic
from napari_segmix.model.run_info import Job
from napari_segmix.preferences import read_preferences
from napari_segmix.widgets.config_form import ConfigForm
from napari_segmix.widgets.elements import primary_button
from napari_segmix.widgets.page import SPACING, Part
from segmix_core.errors import ConfigError, SegmixError
from segmix_core.settings import RunSettings

if TYPE_CHECKING:
    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model

_READY = "#2fbf8f"
_WAITING = "#e69f00"


class StageBox(Part):
    """A form, what is missing to start, and a start button.

    Parameters
    ----------
    model, actions
        What is shown, and what is called.
    title
        Text of the button.
    stages
        Stages that are run one after the other.
    form
        Their settings; the settings of the last run of the first stage are shown.
    check
        Raises :class:`SegmixError` if the stages cannot start; returns what is ready.
    """

    def __init__(
        self,
        model: "Model",
        actions: "Actions",
        title: str,
        stages: Sequence[str],
        form: ConfigForm,
        check: Callable[[], str],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(model, actions, parent)
        self.form = form
        self._stages = tuple(stages)
        self._check = check
        self._project: Path | None = Path()
        self.readiness = QLabel(wordWrap=True)
        self.start_button = primary_button(title, self.start)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(SPACING)
        for part in (self.readiness, self.form, self.start_button):
            self.column.addWidget(part)
        self.form.changed.connect(self.refresh)
        self.watch(self._on_runs, Topic.RUNS, Topic.PROJECT)
        self.watch(self._on_progress, Topic.PROGRESS)
        self.watch(self.refresh, Topic.LABELS)
        self._on_runs()

    def extra_settings(self) -> Mapping[str, Any]:
        """Return settings that are not in the form; by dotted name."""
        return {}

    def options(self) -> dict[str, Any]:
        """Return the options of the requests."""
        return {}

    def start(self) -> None:
        """Launch the stages; what is in the way is told in the status line."""
        try:
            self._check()
            config = self.form.config(self.extra_settings())
            jobs = [
                Job(stage, config, options=self.options()) for stage in self._stages
            ]
            self.actions.runs.start(*jobs)
        except SegmixError as error:
            self.model.notices.report(error)

    def show_settings(self, content: dict[str, Any]) -> None:
        """Show the settings of an earlier run; those of other versions are left."""
        try:
            self.form.set_config(RunSettings.parse(content))
        except ConfigError as error:
            self.model.notices.report(error)

    def refresh(self) -> None:
        """Show what is missing, if anything."""
        text, color = "", _READY
        try:
            text = self._check()
        except SegmixError as error:
            text, color = error.hint, _WAITING
            self.start_button.setToolTip(str(error))
        else:
            self.start_button.setToolTip("")
        is_ready = color is _READY
        self.readiness.setText(
            f"<span style='color:{color}'>●</span>&nbsp; {text}" if text else ""
        )
        self.readiness.setVisible(bool(text))
        busy = self.model.runs.is_running
        self.start_button.setEnabled(is_ready and not busy and not self.form.error)

    def _on_progress(self) -> None:
        # The check reads the labels; progress comes ten times a second.
        if self.model.runs.is_running:
            self.start_button.setEnabled(False)
        else:
            self.refresh()

    def _on_runs(self) -> None:
        if self._project != self.model.project.path:
            self._project = self.model.project.path
            self._show_last_settings()
        self.refresh()

    def _show_last_settings(self) -> None:
        for info in self.model.runs.infos:
            if info.stage == self._stages[0]:
                self.show_settings(info.config)
                return
        threads = {"machine.threads": read_preferences().threads}
        self.form.set_config(RunSettings())
        self.form.set_values(threads)
