"""The runs of the project, newest first, and what can be done with one."""

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QUrl, Signal
from qtpy.QtGui import QColor, QDesktopServices, QFontDatabase, QGuiApplication
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_segmix.model.changes import Topic
from napari_segmix.model.run_info import log_tail, run_report, stage_title
from napari_segmix.widgets.elements import fit_height, hint, prepare_list, push_button
from napari_segmix.widgets.page import Part
from napari_segmix.widgets.run_texts import (
    moment_text,
    state_color,
    state_text,
)
from segmix_core.errors import SegmixError
from segmix_core.files import printable

if TYPE_CHECKING:
    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model
    from napari_segmix.model.run_info import RunInfo

_SHOWN = 50
_LOG_LINES = 12
_PATH = Qt.ItemDataRole.UserRole
_STATE_COLUMN = 2


class RunList(Part):
    """A table of runs; below it, what is to be said about the selected one."""

    settings_wanted = Signal(dict)
    """The user wants the settings of a run (JSON of ``RunSettings``) in the form."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(model, actions, parent)
        self.column.setContentsMargins(0, 0, 0, 0)
        self._infos: dict[Path, RunInfo] = {}
        self._outdated: frozenset[Path] = frozenset()
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
        self.watch(self.refresh, Topic.RUNS)
        self.watch(self._show_progress, Topic.PROGRESS)
        self.watch(self._select_followed, Topic.FOLLOWED)
        self.watch(self._mark_outdated, Topic.HISTORY, Topic.FILES)
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
        runs = self.model.runs.infos
        self._outdated = self.model.runs.outdated()
        infos = [run for run in runs if not run.is_damaged][:_SHOWN]
        infos += [run for run in runs if run.is_damaged][:_SHOWN]
        self._infos = {info.path: info for info in infos}
        self.tree.clear()
        for info in infos:
            self.tree.addTopLevelItem(_item(info, info.path in self._outdated))
        self._empty.setVisible(not infos)
        fit_height(self.tree)
        if infos:
            self.select(chosen.path if chosen else infos[0].path)
        self._show_selected()

    def _select_followed(self) -> None:
        followed = self.model.runs.followed
        if followed is not None:
            self.refresh()
            self.select(followed.path)

    def _mark_outdated(self) -> None:
        if self.model.runs.outdated() != self._outdated:
            self.refresh()

    def _show_progress(self) -> None:
        info = self.model.runs.followed
        if info is None or info.path not in self._infos:
            return
        self._infos[info.path] = info
        is_outdated = info.path in self._outdated
        for i in range(self.tree.topLevelItemCount()):
            item = self.tree.topLevelItem(i)
            if item.data(0, _PATH) == info.path:
                item.setText(_STATE_COLUMN, _state_with_mark(info, is_outdated))

    def _show_selected(self) -> None:
        info = self.selected
        readable = info is not None and not info.is_damaged
        for button in (self.show_button, self.settings_button, self.report_button):
            button.setVisible(readable)
        self.folder_button.setVisible(info is not None)
        self.resume_button.setVisible(info is not None and info.can_resume)
        text = "" if info is None else self._explain(info)
        self._message.setText(text)
        self._message.setVisible(bool(text))
        log = ""
        if info is not None and info.state in ("failed", "interrupted"):
            log = log_tail(info.path, _LOG_LINES)
        self._log.setPlainText(log)
        self._log.setVisible(bool(log))

    def _explain(self, info: "RunInfo") -> str:
        parts = []
        if info.state == "interrupted":
            text = "The process crashed. Resume continues from its last checkpoint."
            parts.append(text)
        elif info.state in ("failed", "damaged"):
            parts.append(printable(info.message))
        if info.path in self._outdated:
            parts.append("Labels or masks have changed since this run started.")
        return " ".join(parts)

    def _resume(self) -> None:
        if self.selected is not None:
            try:
                self.actions.runs.resume(self.selected.path)
            except SegmixError as error:
                self.model.notices.report(error)

    def _show(self) -> None:
        if self.selected is not None:
            self.actions.runs.watch(self.selected.path)

    def _use_settings(self) -> None:
        if self.selected is not None:
            self.settings_wanted.emit(self.selected.config)

    def _copy_report(self) -> None:
        if self.selected is not None:
            try:
                report = run_report(self.selected.path)
            except SegmixError as error:
                self.model.notices.report(error)
                return
            QGuiApplication.clipboard().setText(report)
            self.model.notices.say("The report is on the clipboard.")

    def _open_folder(self) -> None:
        if self.selected is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.selected.path)))


def _item(info: "RunInfo", is_outdated: bool) -> QTreeWidgetItem:
    name = printable(info.path.name)
    title, moment = stage_title(info.stage), moment_text(info.created)
    if info.is_damaged:
        title, moment = name, ""
    texts = [title, moment, _state_with_mark(info, is_outdated)]
    item = QTreeWidgetItem(texts)
    item.setData(0, _PATH, info.path)
    item.setForeground(_STATE_COLUMN, QColor(state_color(info)))
    item.setForeground(1, QColor("#8a93a0"))
    item.setToolTip(0, name)
    if is_outdated:
        item.setToolTip(_STATE_COLUMN, "Labels or masks changed since this run started")
    return item


def _state_with_mark(info: "RunInfo", is_outdated: bool) -> str:
    return state_text(info) + ("  ⚠" if is_outdated else "")
