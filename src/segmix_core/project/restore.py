"""Replace the project by a snapshot, keeping the current state."""

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from segmix_core.disk_errors import reason_of
from segmix_core.errors import ProjectError
from segmix_core.files import temporary_folder
from segmix_core.project import journal, opening
from segmix_core.project.database import FILE_NAME, Database, explained
from segmix_core.project.migration import migrate
from segmix_core.project.packing import UnreadableError
from segmix_core.project.reader import check_folders
from segmix_core.project.snapshots import (
    Snapshot,
    copy_database,
    find_snapshot,
    snapshot_folder,
)


def restore(project: Path, name: str) -> Path:
    """Restore a snapshot; return where the current state is kept.

    Programs that have the project open continue with the restored one, and runs made
    from the replaced state become outdated. Nothing is lost: the current state becomes
    a snapshot or, if it cannot be read, its files are moved to the snapshots folder.

    Parameters
    ----------
    project
        The project folder.
    name
        Name of the snapshot; see :func:`segmix_core.project.snapshots.list_snapshots`.

    Raises
    ------
    ProjectError
        If there is no such snapshot, it is damaged, or the folder cannot be written.
    """
    check_folders(project)
    snapshot = find_snapshot(project, name)
    path = project / FILE_NAME
    try:
        with temporary_folder() as folder:
            fresh = folder / FILE_NAME
            try:
                _copy_checked(snapshot, fresh)
            except (UnreadableError, sqlite3.DatabaseError) as error:
                raise ProjectError(
                    f"The snapshot {snapshot.name} is damaged ({error}).",
                    "Choose another one; the project was not changed.",
                ) from error
            if _is_sound(path):
                return _replace(path, fresh, snapshot)
            return _replace_damaged(path, fresh, snapshot)
    except sqlite3.Error as error:
        raise explained(error, path) from error
    except OSError as error:
        raise ProjectError(
            f"{error.filename or project} cannot be written ({reason_of(error)}).",
            "Free disk space or change its permissions. Nothing was restored.",
        ) from error


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
                "Choose another snapshot.",
            )
        if version != opening.FORMAT:
            migrate(connection, fresh)


def _is_sound(path: Path) -> bool:
    """Whether the current project can be read; older formats are converted.

    Raises
    ------
    ProjectError
        If it belongs to another program or a newer version.
    sqlite3.Error
        If it cannot be read at the moment.
    """
    if not path.exists():
        return False
    try:
        Database.open(path).close()
        with closing(opening.connect(path)) as connection:
            return opening.check_briefly(connection) == "ok"
    except UnreadableError:
        return False


def _replace(path: Path, fresh: Path, snapshot: Snapshot) -> Path:
    """Back up the project and replace its rows by the snapshot's, atomically."""
    kept = _free(snapshot_folder(path.parent) / f"before-restore-{_stamp()}.sqlite")
    with closing(opening.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("ATTACH ? AS snapshot", (str(fresh),))
        # From here on nobody else can write, so the backup is what gets replaced.
        connection.execute("BEGIN IMMEDIATE")
        with closing(opening.connect(path)) as reader:
            copy_database(reader, kept)
        revision = journal.next_id(connection)
        tables = connection.execute(
            "SELECT name FROM main.sqlite_master WHERE type = 'table'"
        ).fetchall()
        for (table,) in tables:
            connection.execute(f'DELETE FROM main."{table}"')
            connection.execute(
                f'INSERT INTO main."{table}" SELECT * FROM snapshot."{table}"'
            )
        _mark(connection, snapshot, revision)
        connection.execute("COMMIT")
    return kept


def _replace_damaged(path: Path, fresh: Path, snapshot: Snapshot) -> Path:
    """Move the unreadable files aside and put the snapshot in their place."""
    with closing(opening.connect(fresh)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        _mark(connection, snapshot, journal.next_id(connection))
        connection.execute("COMMIT")
    aside = _free(snapshot_folder(path.parent) / f"damaged-{_stamp()}")
    aside.mkdir(parents=True)
    moved = [file for file in (*opening.companions(path), path) if file.exists()]
    try:
        for file in moved:
            file.rename(aside / file.name)
        with closing(opening.connect(fresh)) as source:
            copy_database(source, path)
    except BaseException:
        for file in moved:
            if (aside / file.name).exists():
                (aside / file.name).replace(file)
        raise
    return aside


def _mark(connection: sqlite3.Connection, snapshot: Snapshot, revision: int) -> None:
    # Revisions only grow, so that runs made later than the snapshot are outdated.
    entry_id = max(revision, journal.next_id(connection))
    journal.append_restore(
        connection, entry_id, f"Restored the snapshot {snapshot.name}"
    )


def _stamp() -> str:
    return time.strftime("%Y-%m-%d-%H%M%S")


def _free(path: Path) -> Path:
    """Return ``path``, numbered if it exists."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free
