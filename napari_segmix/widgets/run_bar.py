"""The run that is going on, below all pages: progress, time left, stop."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QWidget
from superqt import QElidingLabel

from napari_segmix.model.changes import Topic
from napari_segmix.model.run_info import stage_title
from napari_segmix.widgets.elements import QUIET, push_button, set_danger
from napari_segmix.widgets.page import MARGIN, Part
from napari_segmix.widgets.run_texts import progress_text
from segmix_core.errors import SegmixError

if TYPE_CHECKING:
    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model


class RunBar(Part):
    """Hidden while nothing runs."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(model, actions, parent)
        self.column.setContentsMargins(MARGIN, 6, MARGIN, 4)
        self.column.setSpacing(3)
        self._title = QLabel()
        # What is going on may be longer than the dock is wide.
        self._detail = QElidingLabel()
        self._detail.setStyleSheet(f"QLabel {{ color: {QUIET}; }}")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        self.bar.setToolTip(
            "The run is a separate process. It continues after napari is closed and "
            "appears again when the project is opened."
        )
        self.stop_button: QPushButton = push_button("Stop", self._stop)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self._title)
        row.addWidget(self._detail, 1)
        row.addWidget(self.stop_button)
        self.column.addLayout(row)
        self.column.addWidget(self.bar)
        self.watch(self.refresh, Topic.PROGRESS, Topic.FOLLOWED)
        self.refresh()

    def refresh(self) -> None:
        """Show the followed run's progress; hidden for none or one that has ended."""
        runs = self.model.runs
        info = runs.followed
        is_running = info is not None and info.is_running
        self.setVisible(is_running)
        if info is None or not is_running:
            return
        self._title.setText(f"<b>{stage_title(info.stage)}</b>")
        text = "stopping after this step…" if runs.is_stopping else progress_text(info)
        self._detail.setText(text)
        self._detail.setToolTip(text)
        # A range of nothing shows that something goes on, before the first step.
        self.bar.setRange(0, info.total)
        self.bar.setValue(info.step)
        self._show_stop()

    def _show_stop(self) -> None:
        may_kill = self.model.runs.may_kill
        self.stop_button.setText("Kill" if may_kill else "Stop")
        self.stop_button.setEnabled(may_kill or not self.model.runs.is_stopping)
        self.stop_button.setToolTip(
            "It does not answer. End the process now; it can be resumed from its last "
            "checkpoint."
            if may_kill
            else "Ask the run to stop after its current step; it can be resumed"
        )
        set_danger(self.stop_button, may_kill)

    def _stop(self) -> None:
        runs = self.actions.runs
        try:
            if self.model.runs.may_kill:
                runs.kill()
            else:
                runs.stop()
        except SegmixError as error:
            self.model.notices.report(error)
