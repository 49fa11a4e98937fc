"""Undo and redo."""

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout

from napari_segmix.project_state import SCOPE_TEXTS
from napari_segmix.widgets.buttons import push_button
from napari_segmix.widgets.page import Page

if TYPE_CHECKING:
    from napari_segmix.session import Session
    from segmix_core.project.records import Scope


class HistoryButtons(Page):
    """Undo and redo of one scope, enabled while there is something to do.

    Parameters
    ----------
    session
        The session.
    scope
        What is undone together.
    where
        When the keys work, for the tooltips.
    """

    def __init__(self, session: "Session", scope: "Scope", where: str) -> None:
        super().__init__(session)
        self._scope = scope
        self.column.setContentsMargins(0, 0, 0, 0)
        what = SCOPE_TEXTS[scope]
        self.undo = push_button(
            "Undo",
            partial(session.undo, scope),
            f"Undo the last change to {what}, even if another program made it or "
            f"napari was restarted. Key: Ctrl-Z, {where}",
        )
        self.redo = push_button(
            "Redo",
            partial(session.redo, scope),
            f"Redo the last undone change to {what}. Key: Ctrl-Shift-Z, {where}",
        )
        row = QHBoxLayout()
        row.addWidget(self.undo, 1)
        row.addWidget(self.redo, 1)
        self.column.addLayout(row)
        self.listen(session.history_changed, self.refresh)
        self.listen(session.project_changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Enable what can be done."""
        store = self.session.store
        self.undo.setEnabled(store is not None and store.can_undo(self._scope))
        self.redo.setEnabled(store is not None and store.can_redo(self._scope))
