"""The project on disk: what the user knows about tiles, safe at every moment."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from segmix_core.errors import ProjectError
from segmix_core.geometry import Box
from segmix_core.project import drafts, edits, journal
from segmix_core.project.colors import default_color
from segmix_core.project.database import FILE_NAME, Database
from segmix_core.project.drafts import Draft
from segmix_core.project.import_draft import ImportContent, draft_import
from segmix_core.project.mask_store import MaskArray
from segmix_core.project.names import checked_color, checked_name
from segmix_core.project.reader import ProjectReader
from segmix_core.project.records import (
    UNTOUCHED,
    Change,
    ChangeKind,
    NewImage,
    Review,
    Source,
    SourceKind,
    TilingPlan,
    TissueClass,
)
from segmix_core.project.relocation import relocated, write_paths

Ids = npt.NDArray[np.int64]


class ProjectStore(ProjectReader):
    """A project: classes, sources, tiles, labels, reviews and corrected pixels.

    Every method that changes something is one transaction, on disk when it returns,
    and one entry of the journal that :meth:`undo` takes back. Methods may be called
    from any thread, and several programs may open the same project.

    Attributes
    ----------
    path
        The project folder.
    """

    @classmethod
    def create(
        cls,
        path: Path,
        class_names: Sequence[str],
        colors: Sequence[str] | None = None,
    ) -> Self:
        """Make a new project in the folder ``path``, with its classes.

        Raises
        ------
        ProjectError
            If there is a project already, the folder cannot be written, or a name or
            colour is not valid.
        ValueError
            If the numbers of names and colours differ.
        """
        if colors is None:
            colors = [default_color(i) for i in range(len(class_names))]
        classes: list[TissueClass] = []
        for name, color in zip(class_names, colors, strict=True):
            checked = checked_name(name, classes), checked_color(color)
            classes.append(TissueClass(len(classes) + 1, *checked))
        file = Path(path) / FILE_NAME
        if file.exists():
            raise ProjectError.unexpected(
                "a folder without a project",
                f"the project {file}",
                "Open it, or choose another folder.",
            )
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ProjectError.unexpected(
                f"to create the folder {path}",
                error.strerror or str(error),
                "Choose a folder that you may write to.",
            ) from error
        rows = [(entry.index, entry.name, entry.color) for entry in classes]
        return cls(Path(path), Database.create(file, rows))

    def add_class(self, name: str, color: str | None = None) -> TissueClass:
        """Add a class at the end; its labels are unknown everywhere.

        Raises
        ------
        ProjectError
            If the name is taken or not valid, or there are 250 classes.
        """
        added: list[TissueClass] = []

        def build(_: sqlite3.Connection) -> Draft:
            classes = self.classes()
            index = len(classes) + 1
            wanted = default_color(index - 1) if color is None else color
            checked = checked_name(name, classes), checked_color(wanted)
            added.append(TissueClass(index, *checked))
            text = f"Added the class {added[0].name}"
            return drafts.draft_class(text, index, None, added[0])

        self._change("class", build)
        return added[0]

    def rename_class(self, index: int, name: str) -> None:
        """Give the class of ``index`` another name; ProjectError as in add_class."""

        def build(_: sqlite3.Connection) -> Draft:
            old, others = self._class_and_others(index)
            new = TissueClass(index, checked_name(name, others), old.color)
            text = f"Renamed the class {old.name} to {new.name}"
            return drafts.draft_class(text, index, old, new)

        self._change("class", build)

    def recolor_class(self, index: int, color: str) -> None:
        """Give the class of ``index`` another colour "#rrggbb"."""
        wanted = checked_color(color)

        def build(_: sqlite3.Connection) -> Draft:
            old, _others = self._class_and_others(index)
            new = TissueClass(index, old.name, wanted)
            text = f"Changed the colour of {old.name}"
            return drafts.draft_class(text, index, old, new)

        self._change("class", build)

    def add_source(
        self,
        kind: SourceKind,
        path: Path,
        name: str,
        plan: TilingPlan,
        images: Sequence[NewImage],
    ) -> Source:
        """Add a slide or folder with its images and tiles."""
        new_id = 0

        def build(connection: sqlite3.Connection) -> Draft:
            nonlocal new_id
            source = SourceKind(kind), Path(path), name, plan
            draft, new_id = drafts.draft_source(connection, source, images, self.path)
            return draft

        self._change("source", build)
        return next(entry for entry in self.sources() if entry.id == new_id)

    def set_labels(self, tile_ids: Ids, states: npt.NDArray[np.int8]) -> Change | None:
        """Set the labels of tiles.

        Parameters
        ----------
        tile_ids
            (n,), all different.
        states
            (n, C) of LabelState, in the order of the classes.

        Returns
        -------
        Change or None
            None if every tile had these labels already.

        Raises
        ------
        ValueError
            If an id is unknown, or the states do not fit.
        """
        ids, states = np.asarray(tile_ids, np.int64), np.asarray(states)
        return self._change(
            "labels", lambda c: drafts.draft_labels(c, ids, states, self.classes())
        )

    def record_import(self, content: ImportContent) -> Change | None:
        """Store what an importer read: tiles, labels, splits and groups at once."""
        # New windows are new tiles: whoever keeps a table of tiles must read it again.
        return self._change(
            "source" if content.windows else "labels",
            lambda c: draft_import(c, content, self.classes()),
        )

    def set_reviews(self, tile_ids: Ids, review: Review) -> Change | None:
        """Set what a person has said of the masks of (n,) tiles."""
        ids = np.asarray(tile_ids, np.int64)
        return self._change(
            "review", lambda c: drafts.draft_reviews(c, ids, Review(review))
        )

    def set_splits(self, image_ids: Ids, splits: Sequence[str]) -> Change | None:
        """Set the splits ("train", "val", "test") of (n,) images."""
        ids = np.asarray(image_ids, np.int64)
        return self._change(
            "split", lambda c: drafts.draft_image_texts(c, "split", ids, splits)
        )

    def correct_mask(self, image_id: int, box: Box, values: MaskArray) -> Change | None:
        """Store corrected pixels.

        Parameters
        ----------
        image_id
            The image.
        box
            Inside its working grid.
        values
            (height, width) uint8: 0..C, 255 ignore, 254 takes a correction back.
        """
        self._check_mask(image_id, box, values)

        def build(connection: sqlite3.Connection) -> Draft:
            found = self._corrections.part(connection, image_id, box, values)
            if found is None:
                return Draft("")
            part, place = found
            text = f"Corrected {part.after.size} mask pixels"
            return Draft(text, (part,), (image_id,), place)

        change = self._change("mask", build)
        self._corrections.catch_up()
        return change

    def relocate(self, source_id: int, new_path: Path) -> None:
        """Tell the project where the files of a source are now. Not undone.

        Raises
        ------
        ProjectError
            If a file of the source is not there.
        """
        source = next((s for s in self.sources() if s.id == source_id), None)
        if source is None:
            raise ValueError(f"Expected the id of a source, got {source_id}")
        images = self.images(source_id)
        moves = relocated(source, images, Path(new_path))
        with self._database.transaction() as connection:
            write_paths(connection, source_id, Path(new_path), moves, self.path)

    def rebuild_corrections(self) -> None:
        """Make the arrays of corrected pixels anew from the journal."""
        self._corrections.rebuild()

    def undo(self) -> Change | None:
        """Take the last change back; None if there is none. Without limit."""
        return self._travel("undo")

    def redo(self) -> Change | None:
        """Make the change that was undone last again; None if there is none."""
        return self._travel("redo")

    def set_setting(self, key: str, value: Any) -> None:
        """Store a JSON value under ``key``. Settings are not undone."""
        text = json.dumps(value, ensure_ascii=False)
        with self._database.transaction() as connection:
            connection.execute("REPLACE INTO setting VALUES (?,?)", (key, text))

    def _travel(self, action: Literal["undo", "redo"]) -> Change | None:
        find = journal.head if action == "undo" else journal.redo_target
        with self._database.transaction() as connection:
            target = find(connection)
            if not target:
                return None
            parts = journal.parts_of(connection, target)
            (edits.reverse if action == "undo" else edits.apply)(connection, parts)
            change = journal.append_reversal(connection, action, target)
        if change.kind == "mask":
            self._corrections.catch_up()
        return change

    def _change(
        self, kind: ChangeKind, build: Callable[[sqlite3.Connection], Draft]
    ) -> Change | None:
        with self._database.transaction() as connection:
            draft = build(connection)
            if not draft.parts:
                return None
            edits.apply(connection, draft.parts)
            change = Change(0, kind, draft.description, draft.image_ids, draft.box)
            return journal.append(connection, change, draft.parts)

    def _class_and_others(
        self, index: int
    ) -> tuple[TissueClass, tuple[TissueClass, ...]]:
        classes = self.classes()
        if not 1 <= index <= len(classes):
            raise ValueError(
                f"Expected a class index of 1..{len(classes)}, got {index}"
            )
        return classes[index - 1], (*classes[: index - 1], *classes[index:])

    def _check_mask(self, image_id: int, box: Box, values: MaskArray) -> None:
        if values.shape != (box.height, box.width) or values.dtype != np.uint8:
            raise ValueError(f"Expected uint8 ({box.height}, {box.width}) for {box}")
        grid = Box(0, 0, *self.image(image_id).working_shape)
        if box.intersect(grid) != box:
            raise ValueError(f"Expected a box inside {grid}, got {box}")
        num_classes = len(self.classes())
        if ((values > num_classes) & (values < UNTOUCHED)).any():
            raise ValueError(f"Expected classes 0..{num_classes}, 254 or 255")
