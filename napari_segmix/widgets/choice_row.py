"""Buttons of which one is on."""

from collections.abc import Mapping

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QGridLayout, QPushButton, QSizePolicy, QWidget


class ChoiceRow(QWidget):
    """A segmented switch.

    Parameters
    ----------
    choices
        Value -> text of the button, in order.
    tips
        Value -> tooltip.
    columns
        Buttons beside each other, the rest below them; None: all in one row.
    """

    chosen = Signal(str)
    """The user chose a value; setting :attr:`value` does not emit it."""

    def __init__(
        self,
        choices: Mapping[str, str],
        tips: Mapping[str, str] | None = None,
        parent: QWidget | None = None,
        *,
        columns: int | None = None,
    ) -> None:
        super().__init__(parent)
        self._group = QButtonGroup(self)
        self._buttons: dict[str, QPushButton] = {}
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(2)
        for number, (value, text) in enumerate(choices.items()):
            button = QPushButton(text)
            button.setCheckable(True)
            button.setToolTip((tips or {}).get(value, ""))
            button.setStyleSheet("QPushButton { padding: 4px 6px; }")
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            button.setMinimumWidth(button.fontMetrics().horizontalAdvance(text) + 30)
            self._group.addButton(button)
            self._buttons[value] = button
            grid.addWidget(button, *divmod(number, columns or len(choices)))
        self._group.buttonClicked.connect(self._on_click)

    def _on_click(self, button: QPushButton) -> None:
        self.chosen.emit(next(v for v, b in self._buttons.items() if b is button))

    @property
    def value(self) -> str | None:
        """The value that is on; None for none."""
        return next((v for v, b in self._buttons.items() if b.isChecked()), None)

    @value.setter
    def value(self, value: str | None) -> None:
        # An exclusive group cannot be emptied.
        self._group.setExclusive(False)
        for name, button in self._buttons.items():
            button.setChecked(name == value)
        self._group.setExclusive(True)
