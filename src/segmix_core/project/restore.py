"""Put a snapshot in the place of the present project, keeping the present one."""

import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

from segmix_core.errors import ProjectError
from segmix_core.project import journal, opening
from segmix_core.project.database import FILE_NAME, explained
from segmix_core.project.migration import migrate
from segmix_core.project.opening import error_name
from segmix_core.project.reader import check_folders
from segmix_core.project.snapshots import (
    Snapshot,
    copy_database,
    find_snapshot,
    snapshot_folder,
)


def restore(project: Path, name: str) -> Path:
    """Make a project what a snapshot of it is; return where the present one is kept.

    Programs that have the project open go on with the restored one, and runs that were
    made of what has gone become outdated. Nothing is lost: the present state becomes a
    snapshot, or, where it cannot be read, its files are moved among them.

    Parameters
    ----------
    project
        The project folder.
    name
        Of the snapshot; see :func:`segmix_core.project.snapshots.list_snapshots`.

    Raises
    ------
    ProjectError
        If there is no such snapshot, it is damaged, or the folder cannot be written.
    """
    check_folders(project)
    snapshot = find_snapshot(project, name)
    path = project / FILE_NAME
    try:
        with tempfile.TemporaryDirectory(prefix="segmix-restore-") as folder:
            fresh = Path(folder) / FILE_NAME
            _copy_checked(snapshot, fresh)
            kept, revision = _keep_present(path)
            _mark(fresh, snapshot, revision)
            _put_in_place(fresh, path)
    except sqlite3.Error as error:
        raise explained(error, path) from error
    except OSError as error:
        raise ProjectError(
            f"{project} cannot be written to ({error.strerror or error}).",
            "Free some space or change its permissions; nothing was restored.",
        ) from error
    return kept


def _copy_checked(snapshot: Snapshot, fresh: Path) -> None:
    shutil.copyfile(snapshot.path, fresh)
    opening.check_header(fresh)
    with closing(opening.connect(fresh)) as connection:
        version = opening.check_application(connection, snapshot.path)
        opening.check_schema(connection, version=version)
        answer = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if answer != "ok":
            raise ProjectError(
                f"The snapshot {snapshot.name} is damaged ({answer}).",
                "Choose another one.",
            )
        if version != opening.FORMAT:
            migrate(connection, fresh)


def _keep_present(path: Path) -> tuple[Path, int]:
    """Return where the present project is kept, and its last revision or 0."""
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    folder = snapshot_folder(path.parent)
    folder.mkdir(exist_ok=True)
    kept = _free(folder / f"before-restore-{stamp}.sqlite")
    if not path.exists():
        return kept, 0
    try:
        opening.check_header(path)
        opening.check_companions(path)
        with closing(opening.connect(path)) as connection:
            if opening.check_application(connection, path) != opening.FORMAT:
                raise sqlite3.DatabaseError("an older format")
            if opening.check_briefly(connection) != "ok":
                raise sqlite3.DatabaseError("damaged")
            copy_database(connection, kept)
            return kept, journal.next_id(connection) - 1
    except (sqlite3.DatabaseError, ProjectError) as error:
        passing = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL")
        if isinstance(error, sqlite3.Error) and error_name(error).startswith(passing):
            raise
        # What cannot be read is moved as it is: the next program may know how.
        aside = _free(folder / f"damaged-{stamp}")
        aside.mkdir()
        for file in (*opening.companions(path), path):
            file.rename(aside / file.name)
        return aside, 0


def _mark(fresh: Path, snapshot: Snapshot, revision: int) -> None:
    with closing(opening.connect(fresh)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        # Revisions only grow: runs that know a later one must not seem up to date.
        entry_id = max(revision + 1, journal.next_id(connection))
        journal.append_restore(
            connection, entry_id, f"Restored the snapshot {snapshot.name}"
        )
        connection.execute("COMMIT")


def _put_in_place(fresh: Path, path: Path) -> None:
    if path.exists():
        # Through SQLite, in one transaction: other programs may have it open.
        with (
            closing(opening.connect(fresh)) as source,
            closing(opening.connect(path)) as target,
        ):
            source.backup(target)
        return
    with closing(opening.connect(fresh)) as source:
        copy_database(source, path)


def _free(path: Path) -> Path:
    """Return ``path``, or a name like it that is not taken."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free
