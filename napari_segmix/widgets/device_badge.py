"""What a job would compute on, asked of the job's interpreter once."""

from functools import cache
from sys import executable
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QWidget

from napari_segmix.preferences import read_preferences
from napari_segmix.widgets.elements import QUIET
from segmix_core.doctor import Check, Verdict, check_torch

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.model import Model

_STYLE = (
    "QLabel {{ border: 1px solid {0}; border-radius: 8px; color: {0}; "
    "padding: 1px 8px; }}"
)
_GREEN, _RED = "#2fbf8f", "#e5484d"


@cache
def _ask(python: str) -> Check:
    return check_torch(python)


class DeviceBadge(QLabel):
    """Says GPU, CPU or no torch, with the details as tooltip.

    Asked when first shown, in a thread that waits for a process: loading torch here
    would slow the window down and can fail beside Qt.
    """

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__("…", parent)
        self._report = model.notices.report
        self._executor = actions.executor
        self._is_asked = False
        self.setToolTip("Asking which devices there are")
        self.setStyleSheet(_STYLE.format(QUIET))

    def showEvent(self, event: "QShowEvent") -> None:  # noqa: N802 - Qt's name
        """Ask once."""
        super().showEvent(event)
        if not self._is_asked:
            self._is_asked = True
            python = read_preferences().python or executable
            self._executor.submit(
                lambda: _ask(python),
                on_done=self.show_check,
                on_error=self._report,
            )

    def show_check(self, check: Check) -> None:
        """Show what was found."""
        text, color = "CPU", QUIET
        if check.verdict is Verdict.FAIL:
            text, color = "no torch", _RED
        elif "cuda" in check.message or "mps" in check.message:
            text, color = "GPU", _GREEN
        self.setText(text)
        self.setStyleSheet(_STYLE.format(color))
        self.setToolTip(f"torch {check.message}\n{check.hint}".strip())
