"""Changes that other programs make to the open project, shown within a second."""

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from psygnal import EmitLoopError
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_segmix.actions.masks import MaskActions
from napari_segmix.actions.showing import Showing
from napari_segmix.layers.canvas import Canvas
from napari_segmix.model.changes import Topic
from napari_segmix.model.model import Model
from napari_segmix.model.notices import own_error
from segmix_core.errors import SegmixError
from segmix_core.project.records import MASK_KINDS, Change

if TYPE_CHECKING:
    from segmix_core.project.store import ProjectStore

LOOK_MS = 300
"""Between two looks, of which one that finds nothing new costs microseconds."""
_REST_SECONDS = 3.0
"""After a look that failed: a locked file must not hold the window up again at once."""


class WatchActions:
    """Looks at the open project a few times a second.

    The journal says what is new, so that only that is read again. While a mouse button
    is down nothing is looked at: what is being painted stays under the hand.

    Parameters
    ----------
    model
        Its project is watched.
    canvas
        Tells whether something is being painted.
    showing, masks
        What shows the changes.
    """

    def __init__(
        self,
        model: Model,
        canvas: Canvas,
        showing: Showing,
        masks: MaskActions,
    ) -> None:
        self._project = model.project
        self._notices = model.notices
        self._canvas = canvas
        self._showing = showing
        self._masks = masks
        self._known: dict[str, int] = {}
        self._is_behind = False
        self._is_looking = False
        self._told = ""
        self._rests_until = 0.0
        self._timer = QTimer()
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.look)
        model.changes.happened.connect(self._on_change)

    @property
    def is_running(self) -> bool:
        """Whether it looks by itself: while a project is open."""
        return bool(self._timer.isActive())

    def stop(self) -> None:
        """Look no more."""
        self._timer.stop()

    def look_soon(self) -> None:
        """Look as soon as the present event is dealt with: an edit was refused."""
        self._rests_until = 0.0
        QTimer.singleShot(0, self.look)

    def look(self) -> None:
        """Show what other programs have changed since the last look."""
        store = self._project.store
        if store is None or self._is_looking or self._must_wait():
            return
        self._is_looking = True
        try:
            self._look(store)
        except (SegmixError, EmitLoopError) as error:
            own = own_error(error)
            if own is None:
                raise
            self._tell_once(own)
        else:
            self._told = ""
        finally:
            self._is_looking = False

    def _must_wait(self) -> bool:
        if time.monotonic() < self._rests_until:
            return True
        return self._canvas.is_stroking or _is_mouse_down()

    def _tell_once(self, error: SegmixError) -> None:
        self._rests_until = time.monotonic() + _REST_SECONDS
        if self._told != str(error):
            self._told = str(error)
            self._notices.report(error)

    def _look(self, store: "ProjectStore") -> None:
        is_changed = store.is_changed_elsewhere()
        if is_changed is None:
            return
        # Asking once answers once, so the answer outlives a look that fails.
        self._is_behind |= is_changed
        if self._is_behind:
            self._catch_up(store)
        else:
            # Nobody else has changed anything: what the model knows is all shown.
            self._known = dict(self._project.last_changes)

    def _catch_up(self, store: "ProjectStore") -> None:
        project, known, now = self._project, self._known, store.last_changes()
        kinds = {kind for kind in now if now[kind] != known.get(kind, 0)}
        shown = project.active_source
        # Moved files and settings are not in the journal.
        self._showing.refresh(kinds or {"source"})
        if "restore" in kinds:
            self._masks.reload()
            text = "The project was restored to an earlier state."
            self._notices.say(text, "warning")
        else:
            self._masks.show_changes(self._mask_changes(store, kinds))
            if shown is not None and all(shown.id != s.id for s in project.sources):
                text = f"{shown.name} was removed by another program."
                self._notices.say(text, "warning")
        self._known, self._is_behind = now, False

    def _mask_changes(
        self, store: "ProjectStore", kinds: Collection[str]
    ) -> list[Change]:
        return [
            change
            for kind in MASK_KINDS
            if kind in kinds
            for change in store.changes_after(kind, self._known.get(kind, 0))
        ]

    def _on_change(self, topics: frozenset[Topic]) -> None:
        if Topic.PROJECT in topics:
            self._on_project()
        if Topic.REFUSED in topics:
            self.look_soon()

    def _on_project(self) -> None:
        self._timer.stop()
        self._told, self._rests_until = "", 0.0
        self._is_behind = False
        if self._project.store is not None:
            self._known = dict(self._project.last_changes)
            self._timer.start()


def _is_mouse_down() -> bool:
    app = QApplication.instance()
    return app is not None and app.mouseButtons() != Qt.MouseButton.NoButton
