"""What all pages of the dock share."""

from collections.abc import Callable
from inspect import signature
from typing import TYPE_CHECKING
from weakref import WeakMethod, ref

from qtpy.compat import isalive
from qtpy.QtWidgets import QVBoxLayout, QWidget

if TYPE_CHECKING:
    from psygnal import SignalInstance
    from qtpy.QtGui import QShowEvent

    from napari_segmix.actions.actions import Actions
    from napari_segmix.model.changes import Topic
    from napari_segmix.model.model import Model

MARGIN = 10
SPACING = 8
_Slot = Callable[[], object]


class Part(QWidget):
    """A part of a page: it shows the model and calls actions.

    The model outlives the dock, so a part watches it through :meth:`watch`, which ends
    with the widget. A part of a page that cannot be seen does nothing; it catches up
    when the page is shown.
    """

    def __init__(
        self, model: "Model", actions: "Actions", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.model = model
        self.actions = actions
        self._watched: list[tuple[frozenset[Topic], WeakMethod[_Slot]]] = []
        self._waiting: list[WeakMethod[_Slot]] = []
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        self.column.setSpacing(SPACING)
        self.listen(model.changes.happened, self._on_change)

    def watch(self, slot: _Slot, *topics: "Topic") -> None:
        """Call ``slot``, a method of this widget, when one of the topics changed."""
        self._watched.append((frozenset(topics), WeakMethod(slot)))

    def listen(self, signal: "SignalInstance", slot: Callable[..., object]) -> None:
        """Call ``slot``, a method of this widget, with what a signal emits."""
        reference, owner = WeakMethod(slot), ref(self)

        def relay(*values: object) -> None:
            # Not ended by ``destroyed``: Qt may emit that after Python has freed
            # what it would call.
            method = reference()
            if method is not None and isalive(owner()):
                method(*values)

        signal.connect(relay, max_args=len(signature(slot).parameters))

    def catch_up(self) -> None:
        """Do what was put off while the page could not be seen."""
        waiting, self._waiting = self._waiting, []
        for reference in waiting:
            slot = reference()
            if slot is not None:
                slot()

    def _on_change(self, topics: "frozenset[Topic]") -> None:
        due = [slot for wanted, slot in self._watched if not wanted.isdisjoint(topics)]
        self._waiting += [slot for slot in due if slot not in self._waiting]
        if due and self.is_on_screen:
            self.catch_up()

    @property
    def is_on_screen(self) -> bool:
        """Whether the part's page can be seen."""
        # Asked of the page: a part that hides itself hears of what would show it again.
        widget: QWidget | None = self
        while widget is not None and not isinstance(widget, Page):
            widget = widget.parentWidget()
        return widget is None or bool(widget.isVisible())


class Page(Part):
    """A page of the dock."""

    def showEvent(self, event: "QShowEvent") -> None:  # noqa: N802 - Qt's name
        """Catch up with what changed meanwhile."""
        super().showEvent(event)
        for part in (self, *self.findChildren(Part)):
            if part.is_on_screen:
                part.catch_up()
