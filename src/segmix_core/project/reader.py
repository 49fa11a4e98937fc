"""Read-only access to a project."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self, get_args

import numpy as np
import numpy.typing as npt

from segmix_core.errors import ProjectError
from segmix_core.geometry import Box
from segmix_core.project import chunks, journal, snapshots, tables, tile_changes, tissue
from segmix_core.project.chunks import MaskArray
from segmix_core.project.database import FILE_NAME, Database
from segmix_core.project.packing import decoding
from segmix_core.project.records import (
    Change,
    ChangeKind,
    ImageRecord,
    Scope,
    Source,
    TileChanges,
    TileTable,
    Tissue,
    TissueClass,
)

Ids = npt.NDArray[np.int64]


class ProjectReader:
    """Reads a project; :class:`ProjectStore` also changes it.

    Attributes
    ----------
    path
        The project folder.
    """

    def __init__(self, path: Path, database: Database) -> None:
        self.path = path
        self._database = database
        self._tiles = tables.TileTables(database)
        self._snapshots = snapshots.DailySnapshots(database.path)
        database.before_change = self._snapshots.take_if_due

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open the project in the folder ``path``.

        Raises
        ------
        ProjectError
            If there is none, it is damaged or from a newer version, or one of its
            folders is a link.
        """
        check_folders(Path(path))
        return cls(Path(path), Database.open(Path(path) / FILE_NAME))

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._snapshots.wait()
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

        These tell results made for a class from results made for another class that had
        its index before: renaming keeps a class, undoing its addition does not.
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

    def source(self, source_id: int) -> Source:
        """Return one source; ProjectError if it was removed."""
        for entry in self.sources():
            if entry.id == source_id:
                return entry
        raise ProjectError(
            f"Source {source_id} was removed from the project.",
            "Use Redo to add it again.",
        )

    def images(self, source_id: int | None = None) -> tuple[ImageRecord, ...]:
        """Return the images of one source or of all, in the order they were added."""
        return tables.read_images(self._database, self.path, source_id)

    def image(self, image_id: int) -> ImageRecord:
        """Return one image; ProjectError if it was removed."""
        return tables.read_image(self._database, self.path, image_id)

    def tiles(self, source_id: int | None = None) -> TileTable:
        """Return the tiles of one source or of all, by id."""
        return self._tiles.read(source_id)

    def tile_changes(self, revision: int) -> TileChanges | None:
        """Return the tiles whose labels or reviews changed after a revision.

        Parameters
        ----------
        revision
            A :attr:`revision` of this project; 0 for its beginning.

        Returns
        -------
        TileChanges or None
            None if :meth:`tiles` has to be read again: a source may have other tiles,
            the project was restored, or much has changed.
        """
        with self._database.snapshot() as connection:
            return tile_changes.read(connection, revision)

    def tissue(self, image_id: int) -> Tissue | None:
        """Return the tissue mask of an image; None if its tiles need none."""
        with self._database.snapshot() as connection:
            return tissue.read(connection, image_id)

    def corrections(self, image_id: int, box: Box) -> MaskArray:
        """Return corrected pixels of ``box`` on the working grid, (h, w) uint8.

        0..C, 255 ignore, 254 where nobody has corrected.
        """
        with self._database.snapshot() as connection:
            return chunks.read_box(connection, image_id, box)

    def corrected_images(self) -> frozenset[int]:
        """Return the ids of the images with at least one corrected pixel."""
        with self._database.reading() as connection:
            corrected = chunks.corrected_images(connection)
        return frozenset(corrected) & {image.id for image in self.images()}

    def corrected_tiles(self, source_id: int | None = None) -> Ids:
        """Return the ids, (n,), of the tiles with at least one corrected pixel."""
        images, tiles = self.images(source_id), self.tiles(source_id)
        return chunks.corrected_tiles(self._database.rows, images, tiles)

    def can_undo(self, scope: Scope) -> bool:
        """Whether :meth:`ProjectStore.undo` would do something."""
        with self._database.reading() as connection:
            return journal.head(connection, scope) > 0

    def can_redo(self, scope: Scope) -> bool:
        """Whether :meth:`ProjectStore.redo` would do something."""
        with self._database.reading() as connection:
            return journal.redo_target(connection, scope) > 0

    def is_changed_elsewhere(self) -> bool | None:
        """Whether another program has changed the project since the last call.

        None while another thread of this program writes; never waits for it.

        Raises
        ------
        ProjectError
            If the project was deleted, moved or replaced.
        """
        return self._database.is_changed_elsewhere()

    def changes_after(self, kind: ChangeKind, revision: int) -> tuple[Change, ...]:
        """Return the changes of a kind after a revision, oldest first."""
        with self._database.reading() as connection:
            return journal.changes_after(connection, kind, revision)

    def history(self, limit: int = 100) -> tuple[Change, ...]:
        """Return the last changes, newest first."""
        with self._database.reading() as connection:
            return journal.history(connection, limit)

    def last_changes(self) -> dict[str, int]:
        """Return the revision of the last change of each kind; 0 if there is none.

        An undo or redo counts as a change of its kind.
        """
        with self._database.reading() as connection:
            return {
                kind: journal.last_entry(connection, kind)
                for kind in get_args(ChangeKind)
            }

    def setting(self, key: str, default: Any = None) -> Any:
        """Return the JSON value stored under ``key``, or ``default``."""
        rows = self._database.rows("SELECT value FROM setting WHERE key = ?", (key,))
        with decoding(f"setting {key}"):
            return json.loads(rows[0][0]) if rows else default


def check_folders(project: Path) -> None:
    """Check that the folders SegMix writes to in a project are real folders.

    Raises
    ------
    ProjectError
        If one is a file, or a link: a project from someone else could make SegMix
        write to any folder.
    """
    for name in ("masks", "runs", "cache", snapshots.FOLDER):
        if (project / name).is_symlink():
            raise ProjectError(
                f"The folder {name} of {project.name} is a symbolic link.",
                "Replace it with a real folder.",
            )
        if (project / name).exists() and not (project / name).is_dir():
            raise ProjectError(
                f"{project / name} is a file, but SegMix needs a folder of this name.",
                "Move it to another place.",
            )
