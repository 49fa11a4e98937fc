"""What a project knows, without a way to change it."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self, get_args

import numpy as np
import numpy.typing as npt

from segmix_core.geometry import Box
from segmix_core.project import journal, tables
from segmix_core.project.corrections import Corrections
from segmix_core.project.database import FILE_NAME, Database
from segmix_core.project.mask_store import MaskArray
from segmix_core.project.records import (
    Change,
    ChangeKind,
    ImageRecord,
    Source,
    TileTable,
    TissueClass,
)

Ids = npt.NDArray[np.int64]


class ProjectReader:
    """The questions a project answers; :class:`ProjectStore` adds the changes.

    Attributes
    ----------
    path
        The project folder.
    """

    def __init__(self, path: Path, database: Database) -> None:
        self.path = path
        self._database = database
        self._tiles = tables.TileTables(database)
        self._corrections = Corrections(
            database,
            path / "masks",
            lambda image_id: self.image(image_id).working_shape,
        )
        self._corrections.recover()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the project in the folder ``path``.

        Raises
        ------
        ProjectError
            If there is none, or it is damaged or from a newer version.
        """
        return cls(Path(path), Database.open(Path(path) / FILE_NAME))

    def close(self) -> None:
        """Close the files; closing twice is harmless."""
        self._corrections.close()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def runs_path(self) -> Path:
        """Folder of the run folders; may not exist yet."""
        return self.path / "runs"

    @property
    def exports_path(self) -> Path:
        """Folder of exported files; may not exist yet."""
        return self.path / "exports"

    @property
    def is_read_only(self) -> bool:
        """Whether the folder or disk forbids changes."""
        return self._database.is_read_only

    @property
    def revision(self) -> int:
        """Id of the last journal entry; 0 in a new project. Grows with every change."""
        ((last,),) = self._database.rows("SELECT ifnull(max(id), 0) FROM journal")
        return int(last)

    def classes(self) -> tuple[TissueClass, ...]:
        """Return the classes by index 1..C."""
        return tables.read_classes(self._database)

    def class_names_so_far(self) -> tuple[frozenset[str], ...]:
        """Return the names that each class, 1..C, has had since it was added.

        By these, what was made for a class is told from what was made for another one
        that had its index before: renaming keeps a class, undoing its addition does
        not.
        """
        names: dict[int, set[str]] = {}
        with self._database.reading() as connection:
            for index, old, new in journal.class_steps(connection):
                if not len(old) or not len(new):
                    names[index] = set()
                names.setdefault(index, set()).update(
                    str(content[0]) for content in (old, new) if len(content)
                )
        return tuple(
            frozenset({entry.name, *names.get(entry.index, ())})
            for entry in self.classes()
        )

    def sources(self) -> tuple[Source, ...]:
        """Return the sources in the order they were added."""
        return tables.read_sources(self._database, self.path)

    def images(self, source_id: int | None = None) -> tuple[ImageRecord, ...]:
        """Return the images of one source or of all, in the order they were added."""
        return tables.read_images(self._database, self.path, source_id)

    def image(self, image_id: int) -> ImageRecord:
        """Return one image; ValueError if the id is unknown."""
        return tables.read_image(self._database, self.path, image_id)

    def tiles(self, source_id: int | None = None) -> TileTable:
        """Return the tiles of one source or of all, by id."""
        return self._tiles.read(source_id)

    def corrections(self, image_id: int, box: Box) -> MaskArray:
        """Return corrected pixels of ``box`` on the working grid, (h, w) uint8.

        0..C, 255 ignore, 254 where nobody has corrected.
        """
        return self._corrections.read(image_id, box)

    def corrected_tiles(self, source_id: int | None = None) -> Ids:
        """Return the ids, (n,), of the tiles with at least one corrected pixel."""
        return self._corrections.corrected_tiles(
            self.images(source_id), self.tiles(source_id)
        )

    @property
    def can_undo(self) -> bool:
        """Whether :meth:`undo` would do something."""
        with self._database.reading() as connection:
            return journal.head(connection) > 0

    @property
    def can_redo(self) -> bool:
        """Whether :meth:`redo` would do something."""
        with self._database.reading() as connection:
            return journal.redo_target(connection) > 0

    def history(self, limit: int = 100) -> tuple[Change, ...]:
        """Return the last changes, newest first."""
        with self._database.reading() as connection:
            return journal.history(connection, limit)

    def last_changes(self) -> dict[str, int]:
        """Return the revision of the last change of each kind; 0 if there is none.

        Undoing or redoing a change is one of its kind.
        """
        with self._database.reading() as connection:
            return {
                kind: journal.last_entry(connection, kind)
                for kind in get_args(ChangeKind)
            }

    def setting(self, key: str, default: Any = None) -> Any:
        """Return the JSON value stored under ``key``, or ``default``."""
        rows = self._database.rows("SELECT value FROM setting WHERE key = ?", (key,))
        return json.loads(rows[0][0]) if rows else default
