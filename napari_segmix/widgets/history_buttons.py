"""Undo and redo."""

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout

from napari_segmix.model.changes import Topic
from napari_segmix.model.project import SCOPE_TEXTS
from napari_segmix.widgets.elements import push_button
from napari_segmix.widgets.page import Part

if TYPE_CHECKING:
    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model
    from segmix_core.project.records import Scope


class HistoryButtons(Part):
    """Undo and redo of one scope, enabled while there is something to do.

    Parameters
    ----------
    model, actions
        What is shown, and what is called.
    scope
        What is undone together.
    where
        When the keys work, for the tooltips.
    """

    def __init__(
        self, model: "Model", actions: "Actions", scope: "Scope", where: str
    ) -> None:
        super().__init__(model, actions)
        self._scope = scope
        self.column.setContentsMargins(0, 0, 0, 0)
        what = SCOPE_TEXTS[scope]
        self.undo = push_button(
            "Undo",
            partial(actions.history.undo, scope),
            f"Undo the last change to {what}, even if another program made it or "
            f"napari was restarted. Key: Ctrl-Z, {where}",
        )
        self.redo = push_button(
            "Redo",
            partial(actions.history.redo, scope),
            f"Redo the last undone change to {what}. Key: Ctrl-Shift-Z, {where}",
        )
        row = QHBoxLayout()
        row.addWidget(self.undo, 1)
        row.addWidget(self.redo, 1)
        self.column.addLayout(row)
        self.watch(self.refresh, Topic.HISTORY, Topic.PROJECT)
        self.refresh()

    def refresh(self) -> None:
        """Enable what can be done."""
        steps = self.model.project.history[self._scope]
        self.undo.setEnabled(steps.can_undo)
        self.redo.setEnabled(steps.can_redo)
