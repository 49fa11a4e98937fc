"""The run that is going on, below all pages: progress, time left, stop."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QWidget
from superqt import QElidingLabel

from napari_segmix.widgets.buttons import push_button, set_danger
from napari_segmix.widgets.page import MARGIN, QUIET, Page
from napari_segmix.widgets.run_texts import progress_text, stage_title
from segmix_core.errors import SegmixError
from segmix_core.events import Event, SettingFitted, Warned

if TYPE_CHECKING:
    from napari_segmix.run_info import RunInfo
    from napari_segmix.session import Session


class RunBar(Page):
    """Hidden while nothing runs."""

    def __init__(self, session: "Session", parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
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
        self._may_kill = False
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self._title)
        row.addWidget(self._detail, 1)
        row.addWidget(self.stop_button)
        self.column.addLayout(row)
        self.column.addWidget(self.bar)
        runs = session.runs
        self.listen(runs.changed, self.show_run)
        self.listen(runs.kill_offered, self._offer_kill)
        self.listen(runs.ended, self._tell_end)
        self.listen(runs.failed, session.report)
        self.listen(runs.events, self._tell_warnings)
        self.show_run(runs.current)

    def show_run(self, info: "RunInfo | None") -> None:
        """Show a run's progress; hidden for none or one that has ended."""
        is_running = info is not None and info.is_running
        self.setVisible(is_running)
        if info is None or not is_running:
            self._may_kill = False
            return
        self._title.setText(f"<b>{stage_title(info.stage)}</b>")
        is_stopping = self.session.runs.is_stopping
        text = "stopping after this step…" if is_stopping else progress_text(info)
        self._detail.setText(text)
        self._detail.setToolTip(text)
        # A range of nothing shows that something goes on, before the first step.
        self.bar.setRange(0, info.total)
        self.bar.setValue(info.step)
        self._show_stop(is_stopping)

    def _show_stop(self, is_stopping: bool) -> None:
        self.stop_button.setText("Kill" if self._may_kill else "Stop")
        self.stop_button.setEnabled(self._may_kill or not is_stopping)
        self.stop_button.setToolTip(
            "It does not answer. End the process now; it can be resumed from its last "
            "checkpoint."
            if self._may_kill
            else "Ask the run to stop after its current step; it can be resumed"
        )
        set_danger(self.stop_button, self._may_kill)

    def _stop(self) -> None:
        try:
            if self._may_kill:
                self.session.runs.kill()
            else:
                self.session.runs.stop()
        except SegmixError as error:
            self.session.report(error)

    def _offer_kill(self) -> None:
        self._may_kill = True
        self.show_run(self.session.runs.current)
        self.session.say("The run does not stop by itself; you may kill it.", "warning")

    def _tell_end(self, info: "RunInfo") -> None:
        if not self.session.runs.is_news(info):
            return
        name = stage_title(info.stage)
        if info.state == "completed":
            self.session.say(f"{name}: completed.")
        elif info.state == "cancelled":
            self.session.say(f"{name}: stopped. Resume it on the Train page.")
        elif info.state == "interrupted":
            # Its last message is of the step it was at.
            text = "the process crashed. Resume it on the Train page."
            self.session.say(f"{name}: {text}", "error")
        else:
            self.session.say(f"{name}: {info.state}. {info.message}", "error")

    def _tell_warnings(self, events: list[Event]) -> None:
        current = self.session.runs.current
        if current is None or not self.session.runs.is_news(current):
            return
        for event in events:
            if isinstance(event, Warned):
                self.session.say(event.message, "warning")
            elif isinstance(event, SettingFitted):
                self.session.say(f"{event.message}.")
