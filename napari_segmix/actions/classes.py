"""Adding, renaming and coloring classes."""

from collections.abc import Callable, Sequence

from napari_segmix.actions.showing import Showing
from napari_segmix.model.model import Model
from segmix_core.errors import SegmixError
from segmix_core.project.drafts import check_known_classes
from segmix_core.project.records import TissueClass
from segmix_core.project.store import ProjectStore


class ClassActions:
    """Changes the classes of the project."""

    def __init__(self, model: Model, showing: Showing) -> None:
        self._project = model.project
        self._notices = model.notices
        self._showing = showing

    def add(self, name: str, color: str | None = None) -> None:
        """Add a class; its labels are unknown everywhere."""
        self._change(lambda store: store.add_class(name, color))

    def rename(
        self, index: int, name: str, known: Sequence[TissueClass] | None = None
    ) -> None:
        """Give the class that has an index in ``known`` another name.

        ``known`` are the classes as the caller shows them; None: those of the model.
        """
        self._change(lambda store: store.rename_class(index, name), index, known)

    def recolor(
        self, index: int, color: str, known: Sequence[TissueClass] | None = None
    ) -> None:
        """Give a class another color "#rrggbb"; ``known`` as in :meth:`rename`."""
        self._change(lambda store: store.recolor_class(index, color), index, known)

    def _change(
        self,
        change: Callable[[ProjectStore], object],
        index: int | None = None,
        known: Sequence[TissueClass] | None = None,
    ) -> None:
        project = self._project
        try:
            store = project.require()
            with store.atomic():
                if index is not None:
                    # Another program may have given the index to another class.
                    known = project.classes if known is None else known
                    check_known_classes(known, store.classes(), [index])
                change(store)
        except SegmixError as error:
            self._notices.report(error)
        self._showing.reload_classes()
