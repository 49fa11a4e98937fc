"""Files from elsewhere and files that changed: one sentence, and nothing made worse."""

import io
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from segmix_core.errors import ProjectError
from segmix_core.geometry import Box
from segmix_core.project import database, opening, packing
from segmix_core.project.packing import DamagedError, pack, unpack
from segmix_core.project.store import ProjectStore
from segmix_core.project.verify import find_faults
from tests.core.project.conftest import add_slide
from tests.powerless import CHECKOUT

_CRASH = """
import os, sys, numpy as np
from pathlib import Path
from segmix_core.project.store import ProjectStore
store = ProjectStore.open(Path(sys.argv[1]))
for k in range(int(sys.argv[2])):
    store.set_labels(np.arange(1, 13), np.full((12, 2), k % 2, np.int8))
os._exit(9)
"""


def crash(path: Path, count: int = 20) -> None:
    """Label ``count`` times in a process that dies, which leaves a log behind."""
    subprocess.run([sys.executable, "-c", _CRASH, str(path), str(count)], check=False)
    assert (path / "project.sqlite-wal").stat().st_size


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path / "project.sqlite")) as connection:
        # As damage does.
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@pytest.fixture
def closed(slide_store: ProjectStore) -> Path:
    """A project of one slide, closed."""
    slide_store.set_labels(np.array([1]), np.array([[1, 0]], np.int8))
    slide_store.close()
    return slide_store.path


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "CREATE TRIGGER t AFTER UPDATE ON tile BEGIN DELETE FROM tile; END",
            r"triggers or views \(t\)",
        ),
        ("CREATE VIEW v AS SELECT * FROM tile", r"triggers or views \(v\)"),
        ("CREATE TABLE more (x)", "tables differ: more"),
        ("DROP TABLE setting", "tables differ: setting"),
        ("ALTER TABLE tile ADD COLUMN more TEXT", "tables differ: tile"),
        ("PRAGMA application_id = 7", "belongs to another program"),
        ("PRAGMA user_version = 3", "format 3, written by a newer"),
        ("PRAGMA user_version = 0", "format 0"),
    ],
)
def test_foreign_databases_are_refused(
    closed: Path, statement: str, message: str
) -> None:
    execute(closed, statement)
    before = (closed / "project.sqlite").read_bytes()
    with pytest.raises(ProjectError, match=message):
        ProjectStore.open(closed)
    assert (closed / "project.sqlite").read_bytes() == before


@pytest.mark.parametrize("name", ["masks", "runs", "cache", "snapshots"])
def test_a_file_in_the_place_of_a_folder_is_refused(closed: Path, name: str) -> None:
    (closed / name).write_text("mine")
    with pytest.raises(ProjectError, match=f"{name} is a file, but.*Move it"):
        ProjectStore.open(closed)
    (closed / name).unlink()
    ProjectStore.open(closed).close()


@pytest.mark.parametrize("name", ["masks", "runs", "cache", "snapshots"])
def test_links_in_a_project_are_refused(closed: Path, name: str) -> None:
    (closed / name).symlink_to(closed.parent)
    with pytest.raises(ProjectError, match=f"{name} of p.segmix is a symbolic link"):
        ProjectStore.open(closed)
    with pytest.raises(ProjectError, match="is a symbolic link"):
        find_faults(closed)


def test_the_schema_is_not_trusted(slide_store: ProjectStore) -> None:
    assert slide_store._database.rows("PRAGMA trusted_schema") == [(0,)]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_file_that_was_cut_off(closed: Path, share: float) -> None:
    file = closed / "project.sqlite"
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ProjectError, match=r"the end of project\.sqlite is missing"):
        ProjectStore.open(closed)


def test_a_log_after_a_crash_is_replayed(closed: Path) -> None:
    crash(closed, 21)
    with ProjectStore.open(closed) as store:
        assert (store.tiles().labels == 0).all()
    assert find_faults(closed) == ()


def test_a_folder_where_a_log_should_be(closed: Path) -> None:
    (closed / "project.sqlite-wal").mkdir()
    for use in (ProjectStore.open, find_faults):
        with pytest.raises(ProjectError, match="is not a file"):
            use(closed)


def test_a_journal_that_a_kill_left_is_taken_back(closed: Path) -> None:
    """As on a network drive, where there is no write-ahead log."""
    execute(closed, "PRAGMA journal_mode = DELETE")
    file, journal = closed / "project.sqlite", closed / "project.sqlite-journal"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.execute("UPDATE tile SET labels = x'0101'")
        connection.execute("CREATE TABLE big (x)")
        connection.executemany(
            "INSERT INTO big VALUES (?)", [(bytes(4000),) for _ in range(200)]
        )
        left = file.read_bytes(), journal.read_bytes()
        connection.execute("ROLLBACK")
    file.write_bytes(left[0])
    journal.write_bytes(left[1])
    assert find_faults(closed) == ()
    assert journal.read_bytes() == left[1]
    with ProjectStore.open(closed) as store:
        assert store.tiles().labels[:2].tolist() == [[1, 0], [-1, -1]]
    assert find_faults(closed) == ()


def test_a_journal_of_a_program_at_work(
    closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no leftover: a copy of both files would be of two moments."""
    monkeypatch.setattr(opening, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(opening, "shutil", None)
    execute(closed, "PRAGMA journal_mode = DELETE")
    file = closed / "project.sqlite"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE tile SET labels = x'0101'")
        assert (closed / "project.sqlite-journal").stat().st_size
        with pytest.raises(ProjectError, match="locked by another program"):
            ProjectStore.open(closed)
        connection.execute("COMMIT")
    with ProjectStore.open(closed) as store:
        assert (store.tiles().labels == 1).all()


def test_a_journal_of_another_database_is_noticed(closed: Path, tmp_path: Path) -> None:
    execute(closed, "PRAGMA journal_mode = DELETE")
    other = tmp_path / "other.segmix"
    ProjectStore.create(other, ["a"]).close()
    execute(other, "PRAGMA journal_mode = DELETE")
    with closing(sqlite3.connect(other / "project.sqlite")) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("DELETE FROM class")
        connection.executemany(
            "INSERT INTO setting VALUES (?, ?)",
            [(str(i), "x" * 900) for i in range(2000)],
        )
        shutil.copy(other / "project.sqlite-journal", closed)
    assert find_faults(closed)


def test_an_older_copy_beside_a_newer_log(closed: Path) -> None:
    file = closed / "project.sqlite"
    shutil.copy(file, closed.parent / "older.sqlite")
    with ProjectStore.open(closed) as store:
        for k in range(300):
            store.set_labels(np.array([1 + k % 12]), np.array([[k % 2, 1]], np.int8))
            store.set_setting(f"key {k}", "x" * 2000)
    crash(closed, 5)
    shutil.copy(closed.parent / "older.sqlite", file)
    before = {path.name: path.read_bytes() for path in closed.glob("project.sqlite*")}
    with pytest.raises(ProjectError, match="does not match"):
        ProjectStore.open(closed)
    for name in ("project.sqlite", "project.sqlite-wal"):
        assert (closed / name).read_bytes() == before[name]


def test_a_new_project_beside_an_old_log(closed: Path) -> None:
    crash(closed)
    (closed / "project.sqlite").unlink()
    log = (closed / "project.sqlite-wal").read_bytes()
    with ProjectStore.create(closed, ["one", "two"]) as store:
        assert len(store.sources()) == 0
    assert find_faults(closed) == ()
    (kept,) = closed.glob("project.sqlite-wal.old-*")
    assert kept.read_bytes() == log


def test_a_log_of_another_project(closed: Path, tmp_path: Path) -> None:
    with ProjectStore.create(tmp_path / "other.segmix", ["a"]) as store:
        add_slide(store, 30, 30)
    other = tmp_path / "other.segmix"
    execute(closed, "PRAGMA journal_mode = WAL")
    crash(closed)
    shutil.copy(closed / "project.sqlite-wal", other / "project.sqlite-wal")
    with pytest.raises(ProjectError, match=r"does not match|damaged|tables differ"):
        ProjectStore.open(other)
    (other / "project.sqlite-wal").unlink()
    with ProjectStore.open(other) as store:
        assert len(store.tiles()) == 900


def test_an_older_database_put_back_while_closed(slide_store: ProjectStore) -> None:
    box = Box(0, 0, 9, 9)
    slide_store.correct_mask(1, box, np.ones((9, 9), np.uint8))
    slide_store.close()
    file = slide_store.path / "project.sqlite"
    shutil.copy(file, file.with_name("copy"))
    with ProjectStore.open(slide_store.path) as store:
        store.correct_mask(1, box, np.full((9, 9), 2, np.uint8))
    shutil.copy(file.with_name("copy"), file)
    with ProjectStore.open(slide_store.path) as store:
        assert (store.corrections(1, box) == 1).all()
        store.correct_mask(1, box, np.zeros((9, 9), np.uint8))
        assert (store.corrections(1, box) == 0).all()


def test_two_creations_at_once(tmp_path: Path) -> None:
    path, start = tmp_path / "p.segmix", threading.Barrier(4)
    answers: list[str] = []

    def create() -> None:
        start.wait()
        try:
            ProjectStore.create(path, ["a", "b"]).close()
            answers.append("made")
        except ProjectError as error:
            answers.append(error.message)

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers)[-1] == "made"
    assert answers.count("made") == 1
    assert all("already" in text for text in answers if text != "made")
    assert find_faults(path) == ()
    assert not list(path.glob(".*"))


def test_creation_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    ProjectStore.create(tmp_path / "p.segmix", ["a"]).close()
    with pytest.raises(ProjectError, match="already"):
        ProjectStore.create(tmp_path / "p.segmix", ["a"])


def test_a_creation_leaves_the_log_of_another_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program creates the project, opens it and works before we publish."""
    path, publish = tmp_path / "p.segmix", database._publish
    others: list[ProjectStore] = []

    def be_late(temporary: Path, target: Path) -> None:
        monkeypatch.setattr(database, "_publish", publish)
        others.append(ProjectStore.create(path, ["a"]))
        others[0].add_class("b")
        publish(temporary, target)

    monkeypatch.setattr(database, "_publish", be_late)
    with pytest.raises(ProjectError, match="already"):
        ProjectStore.create(path, ["x"])
    others[0].close()
    with ProjectStore.open(path) as store:
        assert [entry.name for entry in store.classes()] == ["a", "b"]


def test_a_part_that_fails_takes_itself_back(slide_store: ProjectStore) -> None:
    with slide_store.atomic():
        slide_store.set_labels(np.array([1]), np.array([[1, 1]], np.int8))
        with suppress(KeyError), slide_store.atomic():
            slide_store.set_labels(np.array([2]), np.array([[1, 1]], np.int8))
            raise KeyError
    assert slide_store.tiles().labels[:2].tolist() == [[1, 1], [-1, -1]]
    assert find_faults(slide_store.path) == ()


def test_no_change_while_a_snapshot_is_read(slide_store: ProjectStore) -> None:
    with (
        slide_store._database.snapshot(),
        pytest.raises(ValueError, match="while a snapshot was read"),
    ):
        slide_store.set_labels(np.array([1]), np.array([[1, 1]], np.int8))


GONE: dict[str, Callable[[Path], object]] = {
    "deleted": lambda path: (path / "project.sqlite").unlink(),
    "folder deleted": shutil.rmtree,
    "moved": lambda path: path.rename(path.with_name("q.segmix")),
    "replaced": lambda path: Path(
        shutil.copy(path / "project.sqlite", path / "copy")
    ).replace(path / "project.sqlite"),
}


@pytest.mark.parametrize("what", GONE)
def test_a_project_that_goes_while_it_is_open(
    slide_store: ProjectStore, what: str
) -> None:
    GONE[what](slide_store.path)
    with pytest.raises(ProjectError, match="deleted, moved or replaced"):
        slide_store.set_labels(np.array([1]), np.array([[1, 0]], np.int8))
    with pytest.raises(ProjectError, match="deleted, moved or replaced"):
        slide_store.undo()


@pytest.mark.skipif(sys.platform == "win32", reason="other permissions")
def test_a_log_in_a_folder_that_may_not_be_written(closed: Path) -> None:
    crash(closed, 21)
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from segmix_core.project.store import ProjectStore\n"
        "ProjectStore.open(Path(sys.argv[2])).close()\n"
        "from tests.powerless import give_up_power\ngive_up_power()\n"
        "with ProjectStore.open(Path(sys.argv[1])) as store:\n"
        "    print(store.is_read_only, store.tiles().labels.tolist())\n"
    )
    sealed, other = closed.with_name("read-only"), closed.with_name("sound")
    shutil.copytree(closed, sealed)
    ProjectStore.create(other, ["a"]).close()
    try:
        (sealed / "project.sqlite-shm").unlink()
        for path in (*sealed.rglob("*"), sealed):
            path.chmod(0o555 if path.is_dir() else 0o444)
        found = subprocess.run(
            [sys.executable, "-c", code, str(sealed), str(other)],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for path in (sealed, *sealed.rglob("*")):
            path.chmod(0o755)
    assert found.stdout.split(" ", 1)[0] == "True", found.stderr
    assert found.stdout.split(" ", 1)[1].strip() == str([[0, 0]] * 12)


# ---- stored arrays ------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        np.arange(7),
        np.zeros((0, 8), np.int64),
        np.array([["a", "\u00e9"], ["", "b"]]),
        np.array([], np.str_),
        np.full((3, 4), 254, np.uint8),
        np.array([[np.nan, 0.25]]),
    ],
)
def test_arrays_come_back(values: np.ndarray) -> None:
    found = unpack(pack(values))
    assert found.dtype == values.dtype
    assert found.shape == values.shape
    assert np.array_equal(found, values, equal_nan=values.dtype.kind == "f")


def _npy(values: np.ndarray, **changes: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=True)
    content = buffer.getvalue()
    for old, new in changes.values():  # type: ignore[misc]
        content = content.replace(old, new)
    return zlib.compress(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no zlib",
        zlib.compress(b"no array"),
        zlib.compress(b"\x93NUMPY\x01\x00v\x00{}"),
        pack(np.arange(100))[:-9],
        _npy(np.arange(4), shape=(b"(4,)", b"(9,)")),
        _npy(np.arange(4), shape=(b"(4,), }", b"(10**9,), }")),
        _npy(np.asfortranarray(np.ones((3, 2)))),
        _npy(np.array([{}], object)),
    ],
)
def test_what_is_no_array(content: bytes) -> None:
    with pytest.raises(DamagedError, match="Part of the project is damaged"):
        unpack(content)


def test_an_entry_that_unfolds_to_gigabytes(
    slide_store: ProjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "MAX_ARRAY_BYTES", 10**6)
    bomb = _npy(np.zeros(3 * 10**6, np.uint8))
    assert len(bomb) < 10_000
    with pytest.raises(DamagedError, match="more than"):
        unpack(bomb)
    with pytest.raises(ValueError, match="more than"):
        pack(np.zeros(2 * 10**6, np.uint8))
    slide_store.set_labels(np.array([1]), np.array([[1, 0]], np.int8))
    with slide_store._database.transaction() as connection:
        connection.execute("UPDATE part SET before = ? WHERE entry_id = 2", (bomb,))
    with pytest.raises(DamagedError, match="more than"):
        slide_store.undo()
    assert slide_store.tiles().labels[0].tolist() == [1, 0]
    assert "more than" in find_faults(slide_store.path)[0]


@pytest.mark.parametrize(
    ("statement", "use"),
    [
        ("UPDATE journal SET kind = 'odd'", lambda s: s.history()),
        ("UPDATE journal SET image_ids = '{'", lambda s: s.history()),
        ("UPDATE journal SET box = '[1]'", lambda s: s.history()),
        ("UPDATE part SET kind = 'odd'", lambda s: s.undo()),
        ("UPDATE tile SET labels = x'07'", lambda s: s.tiles()),
        ("UPDATE tile SET height = -1 WHERE id = 3", lambda s: s.tiles()),
        ("UPDATE image SET bounds = '[1,2]'", lambda s: s.images()),
        ("UPDATE setting SET value = '{'", lambda s: s.setting("initial_classes")),
        (
            "UPDATE chunk SET pixels = x'07'",
            lambda s: s.corrections(1, Box(0, 0, 9, 9)),
        ),
        ("UPDATE source SET name = CAST(x'ff' AS TEXT)", lambda s: s.sources()),
    ],
)
def test_odd_values_are_damage(
    slide_store: ProjectStore, statement: str, use: Callable[[ProjectStore], object]
) -> None:
    slide_store.correct_mask(1, Box(0, 0, 9, 9), np.ones((9, 9), np.uint8))
    slide_store.close()
    execute(slide_store.path, statement)
    with (
        ProjectStore.open(slide_store.path) as store,
        pytest.raises(DamagedError, match="damaged"),
    ):
        use(store)


@pytest.mark.parametrize("number", [3, -1, 300, 2**40])
def test_an_impossible_review_is_named(closed: Path, number: int) -> None:
    execute(closed, f"UPDATE tile SET review = {number} WHERE id = 2")
    with (
        ProjectStore.open(closed) as store,
        pytest.raises(ProjectError, match=r"is damaged \(reviews"),
    ):
        store.tiles()


def test_a_missing_entry_cannot_be_undone(closed: Path) -> None:
    with ProjectStore.open(closed) as store:
        change = store.set_labels(np.array([2]), np.array([[1, 0]], np.int8))
    assert change is not None
    # As where the number of the entry itself is damaged, but not its target.
    execute(closed, f"UPDATE journal SET id = {change.id + 50} WHERE id = {change.id}")
    with ProjectStore.open(closed) as store, pytest.raises(ProjectError, match="damag"):
        store.undo("labels")
