"""The runs of the project, newest first, and what can be done with one."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer, QUrl, Signal
from qtpy.QtGui import QColor, QDesktopServices, QFontDatabase, QGuiApplication
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_segmix.run_info import log_tail, run_report
from napari_segmix.widgets.buttons import push_button
from napari_segmix.widgets.lists import fit_height, prepare_list
from napari_segmix.widgets.page import Page, hint
from napari_segmix.widgets.run_texts import (
    moment_text,
    stage_title,
    state_color,
    state_text,
)
from segmix_core.errors import SegmixError
from segmix_core.files import printable

if TYPE_CHECKING:
    from napari_segmix.run_info import RunInfo
    from napari_segmix.session import Session

_SHOWN = 50
_LOG_LINES = 12
_PATH = Qt.ItemDataRole.UserRole
_STATE_COLUMN = 2


class RunList(Page):
    """A table of runs; below it, what is to be said about the selected one."""

    settings_wanted = Signal(dict)
    """The user wants the settings of a run (JSON of ``RunSettings``) in the form."""

    def __init__(self, session: "Session", parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.column.setContentsMargins(0, 0, 0, 0)
        self._infos: dict[Path, RunInfo] = {}
        self.tree = QTreeWidget()
        self._empty = hint("No runs yet.")
        self._message = QLabel(wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        self._message.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
        )
        self._log = QPlainTextEdit(readOnly=True)
        self.resume_button = push_button(
            "Resume", self._resume, "Resume from the last checkpoint"
        )
        self.show_button = push_button(
            "Show", self._show, "Show curves and pictures of this run"
        )
        self.settings_button = push_button(
            "Use settings", self._use_settings, "Copy the settings into the form above"
        )
        self.report_button = push_button(
            "Copy report", self._copy_report, "Copy settings, end and log for others"
        )
        self.folder_button = push_button(
            "Folder", self._open_folder, "Open the folder of the run"
        )
        self._build()
        self._later = QTimer(self, singleShot=True, interval=500)
        self._later.timeout.connect(self.refresh)
        self.listen(session.runs.listed, self.refresh)
        self.listen(session.runs.changed, self._show_progress)
        self.listen(session.runs.began, self._on_began)
        self.listen(session.history_changed, self._refresh_later)
        self.refresh()

    def _build(self) -> None:
        self.tree.setColumnCount(3)
        self.tree.setHeaderHidden(True)
        prepare_list(self.tree)
        self.tree.currentItemChanged.connect(lambda *_: self._show_selected())
        font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        font.setPointSizeF(font.pointSizeF() * 0.85)
        self._log.setFont(font)
        self._log.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self._log.setFixedHeight(110)
        row = QHBoxLayout()
        row.setSpacing(4)
        for button in (
            self.resume_button,
            self.show_button,
            self.settings_button,
            self.report_button,
            self.folder_button,
        ):
            row.addWidget(button)
        row.addStretch(1)
        for part in (self._empty, self.tree):
            self.column.addWidget(part)
        self.column.addLayout(row)
        self.column.addWidget(self._message)
        self.column.addWidget(self._log)

    @property
    def selected(self) -> "RunInfo | None":
        """The run that is selected."""
        item = self.tree.currentItem()
        return None if item is None else self._infos.get(item.data(0, _PATH))

    @property
    def message(self) -> str:
        """What is said about the selected run."""
        return str(self._message.text())

    def select(self, path: Path) -> None:
        """Select a run."""
        for i in range(self.tree.topLevelItemCount()):
            item = self.tree.topLevelItem(i)
            if item.data(0, _PATH) == path:
                self.tree.setCurrentItem(item)

    def refresh(self) -> None:
        """Read the list again."""
        chosen = self.selected
        runs = self.session.runs.runs()
        infos = [run for run in runs if not run.is_damaged][:_SHOWN]
        infos += [run for run in runs if run.is_damaged][:_SHOWN]
        self._infos = {info.path: info for info in infos}
        self.tree.clear()
        for info in infos:
            self.tree.addTopLevelItem(_item(info))
        self._empty.setVisible(not infos)
        fit_height(self.tree)
        if infos:
            self.select(chosen.path if chosen else infos[0].path)
        self._show_selected()

    def _on_began(self, info: "RunInfo") -> None:
        self.refresh()
        self.select(info.path)

    def _refresh_later(self) -> None:
        # Labelling makes changes by the second; reading all runs can wait.
        self._later.start()

    def _show_progress(self, info: "RunInfo | None") -> None:
        if info is None or info.path not in self._infos:
            return
        # Only the list knows of labels that were changed since.
        info = replace(info, is_outdated=self._infos[info.path].is_outdated)
        self._infos[info.path] = info
        for i in range(self.tree.topLevelItemCount()):
            item = self.tree.topLevelItem(i)
            if item.data(0, _PATH) == info.path:
                item.setText(_STATE_COLUMN, _state_with_mark(info))

    def _show_selected(self) -> None:
        info = self.selected
        readable = info is not None and not info.is_damaged
        for button in (self.show_button, self.settings_button, self.report_button):
            button.setVisible(readable)
        self.folder_button.setVisible(info is not None)
        self.resume_button.setVisible(info is not None and info.can_resume)
        text = "" if info is None else _explanation(info)
        self._message.setText(text)
        self._message.setVisible(bool(text))
        log = ""
        if info is not None and info.state in ("failed", "interrupted"):
            log = log_tail(info.path, _LOG_LINES)
        self._log.setPlainText(log)
        self._log.setVisible(bool(log))

    def _resume(self) -> None:
        if self.selected is not None:
            try:
                self.session.runs.resume(self.selected.path)
            except SegmixError as error:
                self.session.report(error)

    def _show(self) -> None:
        if self.selected is not None:
            self.session.runs.watch(self.selected.path)

    def _use_settings(self) -> None:
        if self.selected is not None:
            self.settings_wanted.emit(self.selected.config)

    def _copy_report(self) -> None:
        if self.selected is not None:
            try:
                report = run_report(self.selected.path)
            except SegmixError as error:
                self.session.report(error)
                return
            QGuiApplication.clipboard().setText(report)
            self.session.say("The report is on the clipboard.")

    def _open_folder(self) -> None:
        if self.selected is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.selected.path)))


def _item(info: "RunInfo") -> QTreeWidgetItem:
    name = printable(info.path.name)
    title, moment = stage_title(info.stage), moment_text(info.created)
    if info.is_damaged:
        title, moment = name, ""
    texts = [title, moment, _state_with_mark(info)]
    item = QTreeWidgetItem(texts)
    item.setData(0, _PATH, info.path)
    item.setForeground(_STATE_COLUMN, QColor(state_color(info)))
    item.setForeground(1, QColor("#8a93a0"))
    item.setToolTip(0, name)
    if info.is_outdated:
        item.setToolTip(_STATE_COLUMN, "Labels or masks changed since this run started")
    return item


def _state_with_mark(info: "RunInfo") -> str:
    return state_text(info) + ("  ⚠" if info.is_outdated else "")


def _explanation(info: "RunInfo") -> str:
    parts = []
    if info.state == "interrupted":
        parts.append("The process crashed. Resume continues from its last checkpoint.")
    elif info.state in ("failed", "damaged"):
        parts.append(printable(info.message))
    if info.is_outdated:
        parts.append("Labels or masks have changed since this run started.")
    return " ".join(parts)
