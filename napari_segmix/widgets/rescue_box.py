"""What can be done with a project that cannot be opened."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QLabel, QPlainTextEdit, QWidget

from napari_segmix.model.changes import Topic
from napari_segmix.model.rescue import snapshots_of
from napari_segmix.widgets.elements import heading, primary_button, push_button, rule
from napari_segmix.widgets.page import Part
from napari_segmix.widgets.snapshot_dialog import ask_copy, ask_snapshot

if TYPE_CHECKING:
    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model
    from segmix_core.project.snapshots import Snapshot

_RESULT_PX = 120


class RescueBox(Part):
    """Says why a project cannot be opened; checks, repairs and restores it."""

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(model, actions, parent)
        self.column.setContentsMargins(0, 0, 0, 0)
        rescue = actions.rescue
        self._title = heading("")
        self._title.setWordWrap(True)
        self._problem = QLabel(wordWrap=True)
        self.check_button = push_button(
            "Check…", rescue.check, "List all problems without changing the project"
        )
        self.repair_button = push_button(
            "Repair into a copy…",
            self._ask_copy,
            "Recover everything readable into a new project; this one is not changed",
        )
        self.restore_button = push_button(
            "Restore a snapshot…",
            self._ask_snapshot,
            "Return to an earlier state; the current files are kept",
        )
        self.again_button = push_button("Try again", self._open_again)
        self.stop_button = push_button("Stop", rescue.stop)
        self.close_button = push_button("Hide", rescue.forget)
        self.copy_button = primary_button("Open the copy", self._open_copy)
        self.result = QPlainTextEdit(readOnly=True)
        self.result.setFixedHeight(_RESULT_PX)
        self._build()
        self.watch(self.refresh, Topic.RESCUE)
        self.watch(self._enable, Topic.BUSY)
        self.refresh()

    def _build(self) -> None:
        for part in (rule(), self._title, self._problem):
            self.column.addWidget(part)
        actions = self.check_button, self.repair_button, self.restore_button
        others = self.again_button, self.stop_button, self.close_button
        for buttons in (actions, others):
            row = QHBoxLayout()
            for button in buttons:
                row.addWidget(button)
            row.addStretch(1)
            self.column.addLayout(row)
        self.column.addWidget(self.result)
        self.column.addWidget(self.copy_button)

    def refresh(self) -> None:
        """Show the failure and what came of the work."""
        rescue = self.model.rescue.now
        failure = rescue.failure
        self.setVisible(failure is not None)
        if failure is not None:
            self._title.setText(f"{failure.path.name} cannot be opened")
            self._problem.setText(failure.message)
        self.result.setPlainText(rescue.result)
        self.result.setVisible(bool(rescue.result))
        self.copy_button.setVisible(rescue.copy is not None)
        self._enable()

    def _enable(self) -> None:
        is_free, rescue = not self.model.notices.busy, self.model.rescue.now
        self.restore_button.setEnabled(is_free and bool(self._snapshots()))
        for button in (self.check_button, self.repair_button, self.again_button):
            button.setEnabled(is_free)
        self.stop_button.setVisible(rescue.is_working)
        self.close_button.setEnabled(is_free)

    def _ask_copy(self) -> None:
        failure = self.model.rescue.now.failure
        target = None if failure is None else ask_copy(self, failure.path)
        if target is not None:
            self.actions.rescue.repair(target)

    def _ask_snapshot(self) -> None:
        chosen = ask_snapshot(self, self._snapshots())
        if chosen is not None:
            self.actions.rescue.restore(chosen)

    def _snapshots(self) -> "tuple[Snapshot, ...]":
        failure = self.model.rescue.now.failure
        return () if failure is None else snapshots_of(failure.path)

    def _open_again(self) -> None:
        failure = self.model.rescue.now.failure
        if failure is not None:
            self.actions.projects.open_in_background(failure.path)

    def _open_copy(self) -> None:
        copy = self.model.rescue.now.copy
        if copy is not None:
            self.actions.projects.open_in_background(copy)
