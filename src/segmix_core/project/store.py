"""The project on disk, with every change safely stored."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from segmix_core.disk_errors import reason_of
from segmix_core.errors import ProjectError
from segmix_core.geometry import MAX_MPP, MIN_MPP, Box
from segmix_core.project import drafts, edits, journal
from segmix_core.project.chunks import MaskArray
from segmix_core.project.class_rules import checked_color, checked_name, default_color
from segmix_core.project.database import FILE_NAME, Database
from segmix_core.project.drafts import Draft
from segmix_core.project.import_draft import ImportContent, draft_import
from segmix_core.project.journal import Part
from segmix_core.project.reader import ProjectReader, check_folders
from segmix_core.project.records import (
    KEEP,
    UNCHANGED,
    Change,
    ChangeKind,
    Fingerprint,
    NewImage,
    Review,
    Scope,
    Source,
    SourceKind,
    TilingPlan,
    Tissue,
    TissueClass,
)
from segmix_core.project.relocation import relocated, write_paths
from segmix_core.project.seen_labels import swap_labels

Ids = npt.NDArray[np.int64]


class ProjectStore(ProjectReader):
    """A project: classes, sources, tiles, labels, reviews and corrected pixels.

    Every method that changes something is one transaction, on disk when it returns,
    and one journal entry for :meth:`undo`. Methods may be called from any thread, and
    several programs may open the same project.

    Attributes
    ----------
    path
        The project folder.
    """

    @classmethod
    def create(
        cls,
        path: Path | str,
        class_names: Sequence[str],
        colors: Sequence[str] | None = None,
    ) -> Self:
        """Create a project in the folder ``path``, with its classes.

        Raises
        ------
        ProjectError
            If there is a project already, the folder cannot be written, or a name or
            color is not valid.
        ValueError
            If the numbers of names and colors differ.
        """
        if isinstance(class_names, str):
            raise ProjectError(
                f"The classes are one text, {class_names!r}.",
                "Pass a list of names, such as ['tumor', 'stroma'].",
            )
        if colors is None:
            colors = [default_color(i) for i in range(len(class_names))]
        classes: list[TissueClass] = []
        for name, color in zip(class_names, colors, strict=True):
            checked = checked_name(name, classes), checked_color(color)
            classes.append(TissueClass(len(classes) + 1, *checked))
        check_folders(Path(path))
        file = Path(path) / FILE_NAME
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ProjectError(
                f"The folder {path} cannot be created ({reason_of(error)}).",
                "Choose a writable folder.",
            ) from error
        return cls(Path(path), Database.create(file, classes))

    def add_class(self, name: str, color: str | None = None) -> TissueClass:
        """Add a class at the end; its labels are unknown everywhere.

        Raises
        ------
        ProjectError
            If the name is taken or not valid, or there are 250 classes.
        """
        added: list[TissueClass] = []

        def build(connection: sqlite3.Connection) -> Draft:
            classes = self.classes()
            index = len(classes) + 1
            wanted = default_color(index - 1) if color is None else color
            checked = checked_name(name, classes), checked_color(wanted)
            since = journal.next_id(connection)
            added.append(TissueClass(index, *checked, since))
            text = f"Added the class {added[0].name}"
            return drafts.draft_class(text, index, None, added[0])

        self._change("class", build)
        return added[0]

    def rename_class(self, index: int, name: str) -> None:
        """Rename the class of ``index``; ProjectError as in add_class."""

        def build(_: sqlite3.Connection) -> Draft:
            old, others = self._class_and_others(index)
            new = replace(old, name=checked_name(name, others))
            text = f"Renamed the class {old.name} to {new.name}"
            return drafts.draft_class(text, index, old, new)

        self._change("class", build)

    def recolor_class(self, index: int, color: str) -> None:
        """Give the class of ``index`` another color "#rrggbb"."""
        wanted = checked_color(color)

        def build(_: sqlite3.Connection) -> Draft:
            old, _others = self._class_and_others(index)
            new = replace(old, color=wanted)
            text = f"Changed the color of {old.name}"
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
        return self.source(new_id)

    def set_labels(
        self,
        tile_ids: Ids,
        states: npt.NDArray[np.int8],
        classes: Sequence[TissueClass] | None = None,
        seen: npt.NDArray[np.int8] | None = None,
    ) -> Change | None:
        """Set labels of tiles; labels that others set meanwhile are kept.

        Parameters
        ----------
        tile_ids
            (n,), all different.
        states
            (n, K) of LabelState, in the order of the classes; KEEP leaves
            the stored state. Classes from K on are left as they are.
        classes
            The K classes that the caller expects; None: the current first K.
        seen
            (n, K) labels as the caller knows them. Where a tile and the classes are
            still as they were seen, its labels are set without reading them first;
            the outcome is the same.

        Returns
        -------
        Change or None
            None if every tile had these labels already.

        Raises
        ------
        ProjectError
            If a tile or one of the classes is not in the project any more.
        ValueError
            If the states do not fit.
        """
        ids, states = np.asarray(tile_ids, np.int64), np.asarray(states)

        def swap(connection: sqlite3.Connection) -> Change | None:
            if not classes or seen is None or len(ids) != 1:
                return None
            return swap_labels(connection, int(ids[0]), states, classes, seen)

        def build(connection: sqlite3.Connection) -> Draft:
            now = self.classes()
            used = np.flatnonzero((states != KEEP).any(0)) + 1
            drafts.check_known_classes(classes or (), now, used.tolist())
            # Columns of removed classes are all KEEP, as was just checked.
            known = states[:, : len(now)] if classes else states
            return drafts.draft_labels(connection, ids, known, now)

        return self._change("labels", build, swap)

    def record_import(self, content: ImportContent) -> Change | None:
        """Store what an importer read: tiles, labels, splits and groups at once."""
        # New windows are new tiles, so tables of tiles must be read again.
        return self._change(
            "source" if content.windows else "labels",
            lambda c: draft_import(c, content, self.classes()),
        )

    def set_reviews(self, tile_ids: Ids, review: Review) -> Change | None:
        """Set the review state of the masks of (n,) tiles."""
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

    def correct_mask(
        self,
        image_id: int,
        box: Box,
        values: MaskArray,
        classes: Sequence[TissueClass] | None = None,
    ) -> Change | None:
        """Store corrected pixels.

        Parameters
        ----------
        image_id
            The image.
        box
            Inside its working grid.
        values
            (height, width) uint8: 0..C, 255 ignore, 254 removes a correction, 253
            leaves the stored pixel.
        classes
            The classes that the caller expects; None: the current ones.

        Raises
        ------
        ProjectError
            If one of the classes painted is not in the project any more.
        ValueError
            If the values do not fit.
        """

        def build(connection: sqlite3.Connection) -> Draft:
            self._check_mask(image_id, box, values, classes)
            return drafts.draft_mask(connection, image_id, box, values)

        return self._change("mask", build)

    def set_mpp(
        self, image_ids: Ids, mpp_y: float, mpp_x: float | None = None
    ) -> Change | None:
        """Set the pixel size of (n,) images, in µm per level-0 pixel.

        Tiles, masks and the working grid stay as they are. ``mpp_x`` None: as
        ``mpp_y``.

        Raises
        ------
        ProjectError
            If a size is not between 0.05 and 20 µm.
        """
        sizes = mpp_y, mpp_y if mpp_x is None else mpp_x
        if not all(MIN_MPP <= size <= MAX_MPP for size in sizes):
            raise ProjectError(
                f"{sizes[0]:g} x {sizes[1]:g} µm is not a valid pixel size.",
                f"Use {MIN_MPP:g} to {MAX_MPP:g} µm per pixel.",
            )
        ids = np.asarray(image_ids, np.int64)
        return self._change("mpp", lambda c: drafts.draft_mpp(c, ids, *sizes))

    def set_tissue(
        self,
        image_id: int,
        tissue: Tissue,
        boxes: Ids,
        rows: Ids,
        cols: Ids,
    ) -> Change | None:
        """Set where an image has tissue, and its tiles.

        Removed tiles are only hidden. If their place becomes tissue again, they come
        back with their labels and reviews.

        Parameters
        ----------
        image_id
            The image.
        tissue
            The mask.
        boxes, rows, cols
            All tiles of the image, as in :class:`NewImage`.

        Returns
        -------
        Change or None
            None if neither mask nor tiles change.
        """
        cells = np.column_stack((rows, cols, boxes)).astype(np.int64)
        return self._change(
            "tissue", lambda c: drafts.draft_tissue(c, image_id, tissue, cells)
        )

    def accept_files(self, image_ids: Ids) -> Change | None:
        """Accept the current files of (n,) images as the right ones.

        Raises
        ------
        ProjectError
            If a file cannot be read.
        """
        ids = np.asarray(image_ids, np.int64)
        paths = self._paths_of(ids)
        try:
            files = [Fingerprint.of(path) for path in paths]
        except OSError as error:
            raise ProjectError(
                f"{error.filename} cannot be read ({reason_of(error)}).",
                "Reconnect its disk, or relocate the source.",
            ) from error

        def build(connection: sqlite3.Connection) -> Draft:
            if self._paths_of(ids) != paths:
                raise ProjectError(
                    "Another program moved these files at the same time.",
                    "Try again.",
                )
            return drafts.draft_files(connection, ids, files)

        return self._change("file", build)

    def _paths_of(self, image_ids: Ids) -> list[Path]:
        return [self.image(int(image_id)).path for image_id in image_ids]

    def relocate(self, source_id: int, new_path: Path) -> None:
        """Store where the files of a source are now. Cannot be undone.

        Raises
        ------
        ProjectError
            If a file of the source is missing, or the source was removed.
        """
        with self._database.transaction() as connection:
            source = self.source(source_id)
            images = self.images(source_id)
            moves = relocated(source, images, Path(new_path))
            write_paths(connection, source_id, Path(new_path), moves, self.path)

    def undo(self, scope: Scope | None = None) -> Change | None:
        """Undo the last change of a scope, without limit; None if there is none.

        Parameters
        ----------
        scope
            "labels" (labels, classes and images) or "masks" (masks and reviews);
            None: the last change of either.

        Raises
        ------
        ProjectError
            If corrected pixels use the class that would be removed.
        """
        return self._step_history("undo", scope)

    def redo(self, scope: Scope | None = None) -> Change | None:
        """Redo the change that was undone last; None if there is none.

        Raises
        ------
        ProjectError
            If a stroke uses a class that was removed since.
        """
        return self._step_history("redo", scope)

    def set_setting(self, key: str, value: Any) -> None:
        """Store a JSON value under ``key``. Cannot be undone."""
        text = json.dumps(value, ensure_ascii=False)
        with self._database.transaction() as connection:
            connection.execute("REPLACE INTO setting VALUES (?,?)", (key, text))

    def check_writable(self) -> None:
        """Raise ProjectError if the project is read-only."""
        self._database.check_writable()

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Run everything inside as one transaction: all is stored, or nothing.

        Nobody else can change the project inside, so decisions that depend on its
        state belong here. Keep it short: other programs wait for at most five seconds.

        Raises
        ------
        ProjectError
            As for a change.
        """
        with self._database.transaction():
            yield

    def _step_history(
        self, action: Literal["undo", "redo"], scope: Scope | None
    ) -> Change | None:
        with self._database.transaction() as connection:
            target = _target(connection, action, scope)
            if not target:
                return None
            parts = journal.parts_of(connection, target)
            is_undo = action == "undo"
            self._check_classes_of(connection, parts, target, is_undo=is_undo)
            (edits.reverse if is_undo else edits.apply)(connection, parts)
            return journal.append_reversal(connection, action, target)

    def _check_classes_of(
        self,
        connection: sqlite3.Connection,
        parts: Sequence[Part],
        target: int,
        *,
        is_undo: bool,
    ) -> None:
        """Check that masks and classes stay consistent.

        They have separate undo histories, and a mask must not refer to a removed
        class, or to another class that has its index now.
        """
        since = {entry.index: entry.since for entry in self.classes()}
        for part in parts:
            values = part.before if is_undo else part.after
            if part.kind == "class" and not len(values):
                index = int(part.keys[0])
                if self._is_drawn(connection, index):
                    name = self.classes()[index - 1].name
                    raise ProjectError(
                        f"Class {name} is used in corrected masks.",
                        "Undo these corrections first.",
                    )
            if part.kind == "mask":
                used = np.unique(values[(values > 0) & (values < UNCHANGED)])
                if any(since.get(int(i), target) >= target for i in used):
                    raise ProjectError(
                        "The class of this stroke is no longer in the project.",
                        "Use Redo to add it again.",
                    )

    def _is_drawn(self, connection: sqlite3.Connection, index: int) -> bool:
        """Whether an undoable stroke uses the class, or covers pixels of it."""
        entry_id = journal.head(connection, "masks")
        # Strokes older than the class cannot use it.
        while entry_id > self.classes()[index - 1].since:
            for part in journal.parts_of(connection, entry_id):
                if part.kind == "mask" and (
                    (part.before == index).any() or (part.after == index).any()
                ):
                    return True
            entry_id = journal.parent_of(connection, entry_id)
        return False

    def _change(
        self,
        kind: ChangeKind,
        build: Callable[[sqlite3.Connection], Draft],
        shortcut: Callable[[sqlite3.Connection], Change | None] | None = None,
    ) -> Change | None:
        with self._database.transaction() as connection:
            done = None if shortcut is None else shortcut(connection)
            if done is not None:
                return done
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
            raise ValueError(f"The class index must be 1..{len(classes)}, not {index}")
        return classes[index - 1], (*classes[: index - 1], *classes[index:])

    def _check_mask(
        self,
        image_id: int,
        box: Box,
        values: MaskArray,
        classes: Sequence[TissueClass] | None,
    ) -> None:
        if values.shape != (box.height, box.width) or values.dtype != np.uint8:
            raise ValueError(f"Values must be uint8 ({box.height}, {box.width})")
        grid = Box(0, 0, *self.image(image_id).working_shape)
        if box.intersect(grid) != box:
            raise ValueError(f"{box} is not inside {grid}")
        now = self.classes()
        used = np.unique(values[values < UNCHANGED])
        drafts.check_known_classes(classes or (), now, used.tolist())
        num_classes = len(now)
        if (used > num_classes).any():
            raise ValueError(f"Values must be 0..{num_classes} or 253..255")


def _target(
    connection: sqlite3.Connection,
    action: Literal["undo", "redo"],
    scope: Scope | None,
) -> int:
    if scope is None:
        find = journal.newest_to_undo if action == "undo" else journal.oldest_to_redo
        return find(connection)
    if action == "undo":
        return journal.head(connection, scope)
    return journal.redo_target(connection, scope)
