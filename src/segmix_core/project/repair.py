"""Rebuild a damaged project beside the original from everything readable."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from segmix_core.disk_errors import reason_of
from segmix_core.errors import ProjectError, SegmixError
from segmix_core.files import temporary_folder
from segmix_core.project import chunks, edits, first_page, journal, opening, tissue
from segmix_core.project.class_rules import default_color, is_color
from segmix_core.project.database import FILE_NAME, write_empty
from segmix_core.project.journal import Part, PartKind
from segmix_core.project.migration import migrate
from segmix_core.project.packing import DamagedError, decoding, unpack
from segmix_core.project.paths import actual_path, stored_path
from segmix_core.project.records import INITIAL_CLASSES, REPAIRED, TissueClass
from segmix_core.project.salvage import Row, Table, read_table
from segmix_core.project.snapshots import copy_database, list_snapshots

_TABLES = (
    *("class", "source", "image", "tile", "tissue", "chunk"),
    *("journal", "part", "setting"),
)
_MAX_GAP = 10_000
"""Most consecutive journal entries that may be missing."""
_NAMES = {"chunk": "corrected squares", "part": "parts of journal entries"}
_NAMED = 5
_MAX_FILLED = 2**40
"""A header that states more bytes is itself damaged."""
Progress = Callable[[int, int], None]
"""Called with the journal entries replayed so far, and their number."""


@dataclass(frozen=True, slots=True)
class RepairReport:
    """The result of a repair.

    Attributes
    ----------
    path
        The new project folder.
    entries, tiles
        Numbers of journal entries replayed and of tiles in the new project.
    lost
        What could not be read, one sentence each.
    """

    path: Path
    entries: int
    tiles: int
    lost: tuple[str, ...]


def repair(
    project: Path, target: Path | None = None, progress: Progress | None = None
) -> RepairReport:
    """Write everything readable of a project to a new one; leave the original alone.

    The journal is replayed from the beginning. If entries are damaged or missing, the
    contents of the tables are used instead, and the undo history starts over.

    Parameters
    ----------
    project
        The damaged project folder.
    target
        The new folder, which must not exist; beside the original by default.
    progress
        Called with the progress of the replay.

    Raises
    ------
    ProjectError
        If nothing can be read, or the target exists or cannot be written.
    """
    project = project.absolute()
    target = target or repaired_path(project)
    if target.exists():
        raise ProjectError(
            f"{target} already exists.", "Choose another folder for the repaired copy."
        )
    with temporary_folder() as folder:
        try:
            tables, lost = _read(project / FILE_NAME, folder)
        except OSError as error:
            raise ProjectError(
                f"{project} cannot be copied to {folder} ({reason_of(error)}).",
                "Free some space there, or set TMPDIR to another folder.",
            ) from error
        fresh = folder / "fresh.sqlite"
        write_empty(fresh, _initial_classes(tables))
        with closing(opening.connect(fresh)) as connection:
            rebuild = _Rebuild(connection, tables, lost, progress)
            rebuild.run(project, target)
            tiles = connection.execute(
                "SELECT count(*) FROM tile WHERE shown"
            ).fetchone()[0]
        try:
            target.mkdir(parents=True)
            with closing(opening.connect(fresh)) as connection:
                copy_database(connection, target / FILE_NAME)
        except (OSError, sqlite3.Error) as error:
            with suppress(OSError):
                target.rmdir()
            raise ProjectError(
                f"{target} cannot be written ({_reason(error)}).",
                "Free some space there, or choose another folder for the repaired "
                "copy.",
            ) from error
    return RepairReport(target, rebuild.replayed, int(tiles), tuple(rebuild.lost))


def _reason(error: OSError | sqlite3.Error) -> str:
    return reason_of(error) if isinstance(error, OSError) else str(error)


def repaired_path(project: Path) -> Path:
    """Return the default path of the repaired copy, one that does not exist."""
    path = Path(os.path.normpath(project.absolute()))
    suffix = ".segmix" if path.suffix == ".segmix" else ""
    name = f"{path.name.removesuffix(suffix)}-repaired"
    number, target = 1, path.with_name(name + suffix)
    while target.exists():
        number += 1
        target = path.with_name(f"{name}-{number}{suffix}")
    return target


def _read(path: Path, folder: Path) -> tuple[dict[str, Table], list[str]]:
    """Read the tables, including the write-ahead log if it belongs to the file."""
    nothing = ProjectError(f"Nothing can be read from {path}.", _hint_for(path.parent))
    if not path.is_file():
        raise nothing
    copy, lost = _copy_of(path, folder)
    try:
        with closing(opening.connect(copy)) as connection:
            if opening.check_application(connection, path) != opening.FORMAT:
                migrate(connection, copy)
            # No trigger or view of the file may run while its rows are read.
            opening.check_schema(connection, version=0)
            tables = {
                name: read_table(connection, name, columns)
                for name, columns in _known_columns().items()
            }
    except sqlite3.Error as error:
        raise nothing from error
    if not any(table.rows for table in tables.values()):
        raise nothing
    lost += [
        f"Some {_NAMES.get(name, f'rows of the table {name}')} cannot be read."
        for name, table in tables.items()
        if not table.is_whole
    ]
    return tables, lost


def _hint_for(project: Path) -> str:
    """Return the hint for a project of which nothing can be read."""
    names = [snapshot.name for snapshot in list_snapshots(project)]
    if not names:
        return "It has no snapshots either; copy the project back from a backup."
    rest = f", and {len(names) - _NAMED} older ones" if len(names) > _NAMED else ""
    return (
        f"Restore a snapshot with 'segmix restore {project} {names[0]}'. There are: "
        f"{', '.join(names[:_NAMED])}{rest}."
    )


def _known_columns() -> dict[str, tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(opening.schema_script())
        return {name: _columns(connection, name) for name in _TABLES}


def _copy_of(path: Path, folder: Path) -> tuple[Path, list[str]]:
    """Return a copy to read from, and what had to be left out."""
    for name in (path.name, *(file.name for file in opening.companions(path))):
        shutil.copyfile(path.with_name(name), folder / name)
    copy, lost = folder / path.name, []
    if not opening.companions(copy):
        _pad(copy)
    if first_page.is_damaged(copy):
        new = folder / "new.sqlite"
        write_empty(new, ())
        snapshots = (entry.path for entry in list_snapshots(path.parent))
        first_page.replace(copy, new, snapshots)
    try:
        opening.check_companions(copy)
    except (ProjectError, sqlite3.Error):
        for file in opening.companions(copy):
            file.unlink()
        lost.append(
            "The write-ahead log does not belong to this database and was skipped."
        )
        _pad(copy)
    return copy, lost


def _pad(copy: Path) -> None:
    """Pad a truncated file to its stated size, since SQLite refuses shorter files."""
    with copy.open("r+b") as file:
        header = file.read(32)
        expected = opening.expected_size(header)
        if (
            header.startswith(opening.MAGIC)
            and copy.stat().st_size < expected <= _MAX_FILLED
        ):
            file.truncate(expected)


def _initial_classes(tables: dict[str, Table]) -> tuple[TissueClass, ...]:
    for row in tables["setting"].rows:
        if row["key"] == INITIAL_CLASSES:
            with decoding("the classes"):
                return tuple(
                    TissueClass(i + 1, str(name), str(color))
                    for i, (name, color) in enumerate(json.loads(row["value"]))
                )
    # Without the setting, undo the changes of each class to get its first state.
    found = {
        row["idx"]: TissueClass(row["idx"], row["name"], row["color"])
        for row in tables["class"].rows
        if row["since"] == 0
    }
    for row in reversed(tables["part"].rows):
        if row["kind"] == "class":
            with suppress(DamagedError):
                index, before = int(unpack(row["keys"])[0]), unpack(row["before"])
                if len(before) == 3 and before[2] == "0":
                    found[index] = TissueClass(index, str(before[0]), str(before[1]))
    return tuple(found[index] for index in sorted(found))


class _Rebuild:
    """The new project while it is being written."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        tables: dict[str, Table],
        lost: list[str],
        progress: Progress | None,
    ) -> None:
        self._connection = connection
        self._tables = tables
        self._progress = progress
        self._is_whole = all(tables[n].is_whole for n in ("journal", "part"))
        self._columns = _known_columns()
        self.lost = lost
        self.replayed = 0

    def run(self, project: Path, target: Path) -> None:
        self._connection.execute("PRAGMA foreign_keys = OFF")
        self._connection.execute("BEGIN")
        self._replay()
        self._copy("setting", self._tables["setting"].rows)
        if not self._is_whole:
            self._use_tables()
            self._end_undo()
        self._mend_colors()
        self._use_paths(project, target)
        self._connection.execute("COMMIT")

    def _replay(self) -> None:
        parts: dict[int, list[Row]] = {}
        for row in self._tables["part"].rows:
            parts.setdefault(row["entry_id"], []).append(row)
        entries = self._plausible(self._tables["journal"].rows)
        self._report_gaps(entries)
        for number, entry in enumerate(entries):
            if self._progress is not None:
                self._progress(number, len(entries))
            self._copy("journal", [entry])
            # Renumbered, so that the gap is closed.
            self._copy(
                "part", [{**row, "id": None} for row in parts.get(entry["id"], [])]
            )
            if entry["kind"] == "restore":
                continue
            try:
                self._apply(entry, parts.get(entry["target"], []))
                self.replayed += 1
            except (SegmixError, sqlite3.Error) as error:
                reason = getattr(error, "reason", str(error))
                self._is_whole = False
                self.lost.append(
                    f"Journal entry {entry['id']} ({entry['description']}) cannot be "
                    f"replayed: {reason}."
                )
        if self._progress is not None:
            self._progress(len(entries), len(entries))

    def _plausible(self, entries: Sequence[Row]) -> list[Row]:
        """Leave out entries whose ids are damaged: far above the id before them."""
        found: list[Row] = []
        for entry in entries:
            before = found[-1]["id"] if found else 0
            if entry["id"] - before > _MAX_GAP and entry["kind"] != "restore":
                self._is_whole = False
                self.lost.append(f"Journal entry {entry['id']} has an invalid number.")
            else:
                found.append(entry)
        return found

    def _report_gaps(self, entries: Sequence[Row]) -> None:
        """Report missing entries and parts; put a placeholder for each entry."""
        known = [0, *(entry["id"] for entry in entries)]
        # Only restored snapshots skip ids.
        missing = [
            entry_id
            for before, entry in zip(known, entries, strict=False)
            if entry["kind"] != "restore"
            for entry_id in range(before + 1, entry["id"])
        ]
        for entry_id in missing:
            self._connection.execute(
                "INSERT INTO journal VALUES (?, 0, 'do', ?, 0, '', 'labels', "
                "'Could not be read', '[]', NULL)",
                (entry_id, entry_id),
            )
        ids = [row["id"] for row in self._tables["part"].rows]
        parts = max(ids, default=0) - len(ids)
        for count, name in ((len(missing), "entries"), (parts, "parts of entries")):
            if count:
                self._is_whole = False
                self.lost.append(f"{count} {name} of the journal are missing.")

    def _apply(self, entry: Row, rows: Sequence[Row]) -> None:
        if not rows:
            raise ProjectError("Its content cannot be read.", "Repeat the change.")
        found = [_part(row) for row in rows]
        # All or nothing: half an entry would be a state that never existed.
        self._connection.execute("SAVEPOINT entry")
        try:
            if entry["action"] == "undo":
                edits.reverse(self._connection, found)
            else:
                edits.apply(self._connection, found)
        except BaseException:
            self._connection.execute("ROLLBACK TO entry")
            raise
        finally:
            self._connection.execute("RELEASE entry")

    def _use_tables(self) -> None:
        """Use the readable rows of the tables in place of a journal with gaps."""
        for name in ("class", "source", "image", "tile"):
            self._copy(name, self._tables[name].rows)
        self._use_tissue()
        for row in self._tables["chunk"].rows:
            try:
                pixels = chunks.decode_square(row["pixels"])
            except SegmixError as error:
                self.lost.append(
                    "Corrected pixels of image {image_id}, square {row}, {col} cannot "
                    "be read".format(**row)
                    + f": {error.reason}."
                )
                continue
            place = row["image_id"], row["row"], row["col"]
            chunks.write_square(self._connection, *place, pixels)

    def _use_tissue(self) -> None:
        for row in self._tables["tissue"].rows:
            try:
                found = tissue.decode(
                    row["downsample"], row["min_share"], row["width"], row["mask"]
                )
            except SegmixError as error:
                self.lost.append(
                    f"The tissue of image {row['image_id']} cannot be read: "
                    f"{error.reason}."
                )
                continue
            tissue.write(self._connection, row["image_id"], found)

    def _end_undo(self) -> None:
        """Keep the journal readable, but end the undo history here."""
        self._connection.execute("UPDATE journal SET scope = ''")
        entry_id = journal.next_id(self._connection)
        journal.append_restore(
            self._connection,
            entry_id,
            "Repaired the project; earlier changes cannot be undone",
        )
        self._connection.execute(
            "REPLACE INTO setting VALUES (?,?)", (REPAIRED, str(entry_id))
        )

    def _mend_colors(self) -> None:
        rows = self._connection.execute("SELECT idx, name, color FROM class").fetchall()
        for index, name, color in rows:
            if is_color(color):
                continue
            self.lost.append(f"The color of class '{name}' is damaged.")
            self._connection.execute(
                "UPDATE class SET color = ? WHERE idx = ?",
                (default_color(index - 1), index),
            )

    def _use_paths(self, project: Path, target: Path) -> None:
        for name in ("source", "image"):
            known = {row["id"]: row["path"] for row in self._tables[name].rows}
            rows = self._connection.execute(f"SELECT id, path FROM {name}").fetchall()
            for row_id, path in rows:
                place = actual_path(str(known.get(row_id, path)), project)
                self._connection.execute(
                    f"UPDATE {name} SET path = ? WHERE id = ?",
                    (stored_path(place, target), row_id),
                )

    def _copy(self, table: str, rows: Iterable[Row]) -> None:
        names = self._columns[table]
        marks = ", ".join("?" * len(names))
        for row in rows:
            try:
                self._connection.execute(
                    f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) "
                    f"VALUES ({marks})",
                    [row[name] for name in names],
                )
            except (sqlite3.Error, OverflowError, KeyError) as error:
                self._is_whole = False
                self.lost.append(f"A row of {table} has invalid values ({error}).")


def _part(row: Row) -> Part:
    kind: PartKind = row["kind"]
    return Part(kind, *(unpack(row[name]) for name in ("keys", "before", "after")))


def _columns(connection: sqlite3.Connection, table: str) -> tuple[str, ...]:
    rows = connection.execute(f"PRAGMA table_info({table})").fetchall()
    return tuple(name for _, name, *_ in rows)
