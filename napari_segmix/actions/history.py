"""Undo and redo, each desk its own."""

from collections.abc import Callable
from functools import partial

from psygnal import Signal

from napari_segmix.actions.showing import Showing
from napari_segmix.model.model import Model
from napari_segmix.model.project import SCOPE_TEXTS
from segmix_core.errors import SegmixError
from segmix_core.project.records import Change, Scope
from segmix_core.project.store import ProjectStore


class HistoryActions:
    """Takes the last change of a scope back, and makes it again."""

    changed = Signal(object)
    """Undo or redo wrote a ``Change``; layers of masks read their pixels again."""

    def __init__(self, model: Model, showing: Showing) -> None:
        self._project = model.project
        self._notices = model.notices
        self._showing = showing

    def undo(self, scope: Scope) -> None:
        """Take the last change of labels, classes and images, or of masks, back."""
        self._step(partial(ProjectStore.undo, scope=scope), "undo", scope)

    def redo(self, scope: Scope) -> None:
        """Make the change of a scope that was undone last again."""
        self._step(partial(ProjectStore.redo, scope=scope), "redo", scope)

    def _step(
        self, step: Callable[[ProjectStore], Change | None], verb: str, scope: Scope
    ) -> None:
        try:
            change = step(self._project.require())
        except SegmixError as error:
            self._notices.refuse(error)
            return
        if change is None:
            self._notices.say(f"There is nothing to {verb} in {SCOPE_TEXTS[scope]}.")
            return
        self._showing.refresh({change.kind})
        self.changed.emit(change)
        self._notices.say(f"{change.description}.")
