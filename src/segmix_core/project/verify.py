"""Check a project: the file, every stored array, and the journal against the state."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from segmix_core.errors import ProjectError, SegmixError
from segmix_core.files import temporary_folder
from segmix_core.project import chunks, edits, journal, opening, tissue
from segmix_core.project.database import FILE_NAME, explained
from segmix_core.project.migration import migrate
from segmix_core.project.packing import DamagedError, decoding
from segmix_core.project.reader import check_folders
from segmix_core.project.records import INITIAL_CLASSES, REPAIRED
from segmix_core.project.snapshots import copy_database

MAX_FAULTS = 20
"""The check stops after this many faults."""

Progress = Callable[[int, int], None]
"""Called with the journal entries checked so far, and their number."""


def find_faults(project: Path, progress: Progress | None = None) -> tuple[str, ...]:
    """List everything wrong with a project, one sentence per fault.

    The journal is undone entry by entry on a copy, back to the beginning. Before each
    step, the stored values must equal those that the entry wrote, so every label,
    review, class and corrected pixel is compared with the journal. The project itself
    is not changed.

    Parameters
    ----------
    project
        The project folder.
    progress
        Called with the progress of the check.

    Raises
    ------
    ProjectError
        If there is no project, or the file belongs to another program, is locked, or
        cannot be read because its disk is full or failing.
    """
    path = project / FILE_NAME
    check_folders(project)
    with temporary_folder() as folder:
        copy = folder / FILE_NAME
        try:
            if path.is_file():
                opening.check_header(path)
            opening.check_companions(path)
            version = _copy(path, copy)
            with closing(opening.connect(copy)) as connection:
                opening.check_schema(connection, version=version)
                if version != opening.FORMAT:
                    migrate(connection, copy)
                return tuple(_limited(_faults(connection, progress)))
        except sqlite3.Error as error:
            found = explained(error, path)
            # A full disk or a lock says nothing about the project.
            if isinstance(found, ProjectError):
                raise found from error
            return (str(found),)
        except DamagedError as error:
            return (f"{error.reason[:1].upper()}{error.reason[1:]}.",)


def _copy(path: Path, copy: Path) -> int:
    """Copy the database without touching the project; return its format."""
    try:
        with closing(opening.connect(path, "?mode=ro")) as connection:
            version = opening.check_application(connection, path)
            copy_database(connection, copy)
            return version
    except sqlite3.Error as error:
        if not opening.error_name(error).startswith(
            ("SQLITE_CANTOPEN", "SQLITE_READONLY")
        ):
            raise
    # SQLite recovers from a crash by writing, so let it do that in a copy.
    for file in (path, *opening.companions(path)):
        shutil.copyfile(file, copy.with_name(file.name))
    with closing(opening.connect(copy)) as connection:
        return opening.check_application(connection, path)


def _limited(faults: Iterator[str]) -> Iterator[str]:
    for number, fault in enumerate(faults):
        if number == MAX_FAULTS:
            yield "There are more problems; the check stopped here."
            return
        yield fault


def _faults(connection: sqlite3.Connection, progress: Progress | None) -> Iterator[str]:
    rows = connection.execute(f"PRAGMA integrity_check({MAX_FAULTS})").fetchall()
    if rows != [("ok",)]:
        yield from (f"Database file: {text}." for (text,) in rows)
        return
    for table, row_id, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield f"Row {row_id} of {table} has no {parent}."
    (missing,) = connection.execute(
        "SELECT ifnull(max(id), 0) - count(*) FROM part"
    ).fetchone()
    if missing:
        yield f"{missing} parts of journal entries are missing."
    yield from _broken_squares(connection)
    yield from _broken_tissue(connection)
    yield from _contradictions(connection, progress)


def _broken_squares(connection: sqlite3.Connection) -> Iterator[str]:
    rows = connection.execute(
        "SELECT image_id, row, col, top_class, pixels FROM chunk ORDER BY id"
    )
    for image_id, row, col, top_class, content in rows:
        place = f"image {image_id}, square {row}, {col}"
        try:
            pixels = chunks.decode_square(content)
        except DamagedError as error:
            yield f"Corrected pixels of {place} cannot be read ({error.reason})."
            continue
        if chunks.top_class(pixels) != top_class:
            yield f"Corrected pixels of {place} do not match their recorded classes."


def _broken_tissue(connection: sqlite3.Connection) -> Iterator[str]:
    for (image_id,) in connection.execute("SELECT image_id FROM tissue").fetchall():
        try:
            tissue.read(connection, image_id)
        except DamagedError as error:
            yield f"The tissue of image {image_id} cannot be read ({error.reason})."


def _contradictions(
    connection: sqlite3.Connection, progress: Progress | None
) -> Iterator[str]:
    entries = connection.execute(
        "SELECT id, action, target, scope, description FROM journal ORDER BY id DESC"
    ).fetchall()
    connection.execute("BEGIN")
    for number, (entry_id, action, target, scope, text) in enumerate(entries):
        if progress is not None:
            progress(number, len(entries))
        if not scope:
            # A restored snapshot has its own history; a repaired project has gaps.
            continue
        place = f"Journal entry {entry_id} ({text})"
        try:
            fault = _undo_entry(connection, action == "undo", target)
        except SegmixError as error:
            yield f"{place} cannot be read: {error.reason}."
            return
        if fault:
            yield f"{place}: {fault} does not match the entry."
            return
    if progress is not None:
        progress(len(entries), len(entries))
    repaired = connection.execute("SELECT 1 FROM setting WHERE key = ?", (REPAIRED,))
    if repaired.fetchone() is None:
        yield from _beginning(connection)


def _undo_entry(connection: sqlite3.Connection, is_undo: bool, target: int) -> str:
    """Undo one entry; return the kind of the part that differs, or ""."""
    parts = journal.parts_of(connection, target)
    if not parts:
        return "what it changed"
    ordered = parts if is_undo else parts[::-1]
    for part in ordered:
        with decoding(f"a part of kind {part.kind}"):
            left = part.before if is_undo else part.after
            if not edits.is_in_force(connection, part, left):
                return part.kind
            edits.put(connection, part, part.after if is_undo else part.before)
    return ""


def _beginning(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield what remains after every entry has been undone."""
    questions = {
        "labels": "SELECT count(*) FROM tile "
        "WHERE replace(hex(labels), 'FF', '') <> ''",
        "reviews": "SELECT count(*) FROM tile WHERE review <> 0",
        "corrected squares": "SELECT count(*) FROM chunk",
        "tissue masks": "SELECT count(*) FROM tissue",
        "sources": "SELECT count(*) FROM source WHERE shown",
        "added classes": "SELECT count(*) FROM class WHERE since <> 0",
    }
    for name, question in questions.items():
        (count,) = connection.execute(question).fetchone()
        if count:
            yield f"There are {count} {name} without a journal entry."
    stored = connection.execute(
        "SELECT value FROM setting WHERE key = ?", (INITIAL_CLASSES,)
    ).fetchone()
    classes = connection.execute("SELECT name, color FROM class ORDER BY idx")
    with decoding(f"setting {INITIAL_CLASSES}"):
        initial = None if stored is None else json.loads(stored[0])
    if initial != [list(row) for row in classes]:
        yield "The classes do not match those the project was created with."
